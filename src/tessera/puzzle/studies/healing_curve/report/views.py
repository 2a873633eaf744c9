"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, curves, scatter

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/healing curve": "Kept children healed with more and more tokens, one run per healing."}
VIEWS = (
    View(
        "puzzle/healing curve",
        "KL by tokens of healing",
        (scatter("tokens", "kl_div"), curves("KL while healing", "healing/kl_div", log=True)),
        group_by=("target", "text"),
    ),
)
