"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, curves, parallel

#: What the runs of each experiment are.
EXPERIMENTS: dict[str, str] = {}
VIEWS = (
    View(
        "tempotron/findable",
        "Learning rule by size of the task",
        (
            curves("solved share against 100 x load", "solved_by_load_percent"),
            parallel(("k", "n"), ("findable", "median_epochs_solved")),
        ),
    ),
)
