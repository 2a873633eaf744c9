"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars, scatter

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/bits": "Children whose structure and types of weights one program chose, one run per child."}
VIEWS = (
    View(
        "puzzle/bits",
        "Structure and bits",
        (scatter("speed", "kl_div"), scatter("size", "kl_div"), bars("kl_div")),
    ),
)
