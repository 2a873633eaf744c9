"""The study's experiment in MLflow, and what is worth comparing in it."""

from tessera.common.views import View, bars

#: What the runs of each experiment are.
EXPERIMENTS = {"puzzle/tasks": "Accuracy on task items and retention of the parent's, one run per model."}
VIEWS = (View("puzzle/tasks", "Accuracy and retention", (bars("accuracy"), bars("retention"))),)
