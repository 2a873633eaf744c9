"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars, curves

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/evolution": "Searches that run every child that they consider, one run per search and seed."}
VIEWS = (
    View(
        "puzzle/evolution",
        "Searches on true KL",
        (curves("least KL by children run", "best_kl_div", log=True), bars("test_kl_div")),
    ),
)
