"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, scatter

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/cost_validation": "Summed and published throughput ratios, one run per software and workload."}
VIEWS = (View("puzzle/cost_validation", "Summed and published ratios", (scatter("paper_ratio", "ratio"),)),)
