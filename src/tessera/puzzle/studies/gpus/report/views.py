"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/gpus": "The same scores searched with the times of several GPUs, one run per child."}
VIEWS = (View("puzzle/gpus", "Predicted loss", (bars("value"),)),)
