"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars, curves

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/peers": "Children of one parent, pruned in different ways to the same budget, one run per way."}
VIEWS = (
    View(
        "puzzle/peers",
        "Ways to prune",
        (
            bars("assembled_in_domain_kl_div"),
            bars("equal_in_domain_kl_div"),
            bars("predicted_blocks_speedup"),
            curves("KL while healing", "healing/kl_div", log=True),
        ),
    ),
)
