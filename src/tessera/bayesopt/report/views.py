"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, bars, curves

#: What the runs of each experiment are.
EXPERIMENTS: dict[str, str] = {}
VIEWS = (
    View(
        "bayesopt/benchmark",
        "Branin by sampler",
        (curves("regret, mean over seeds", "regret", log=True), bars("edge_enrichment")),
        only="tags.function = 'branin'",
        group_by=("sampler", "schedule"),
    ),
)
