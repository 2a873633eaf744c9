"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, scatter

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/validity": "Predicted and measured KL, one run per child, and a summary of the study's numbers."}
VIEWS = (
    View(
        "puzzle/validity",
        "Predicted and measured KL",
        (
            scatter("predicted/sum", "scored/kl_div"),
            scatter("predicted/sum", "assembled/kl_div"),
            scatter("predicted/sum", "healed/kl_div"),
        ),
    ),
)
