"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars, scatter

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/sensitivity": "The search repeated with drawn scores, one run per target and speed-up."}
VIEWS = (
    View(
        "puzzle/sensitivity",
        "Changed layers and regret",
        (scatter("changed_attention", "changed_ffn"), bars("regret_share")),
    ),
)
