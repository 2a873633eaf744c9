"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars, curves

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/ablations": "Children at one budget with one part of the method exchanged, one run per seed."}
VIEWS = (
    View(
        "puzzle/ablations",
        "Cases, mean over seeds",
        (
            bars("assembled/in_domain/kl_div"),
            bars("healed/in_domain/kl_div"),
            curves("KL while healing", "healing/kl_div", log=True),
        ),
        group_by=("case",),
    ),
)
