"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/task_scores": "Children chosen by KL and by scores of task items, one run per score."}
VIEWS = (
    View(
        "puzzle/task_scores",
        "Children by score",
        (bars("all/accuracy"), bars("scored/accuracy"), bars("equal_in_domain_kl_div")),
    ),
)
