"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars, curves

#: What the runs of each experiment are.
EXPERIMENTS = {
    "puzzle/coupled": "Children of decoupled and of coupled blocks, one run per target, speed-up and method."
}
VIEWS = (
    View(
        "puzzle/coupled",
        "Decoupled and coupled blocks",
        (bars("assembled_kl_div"), bars("healed_kl_div"), curves("KL while healing", "healing/kl_div", log=True)),
        group_by=("method",),
    ),
)
