"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, curves, parallel

#: What the runs of each experiment are.
EXPERIMENTS = {
    "tempotron/replica": "Capacities predicted by replica theory.",
    "tempotron/maximum": "Law of the largest potential of a pattern, one run per K.",
    "tempotron/findable": "Loads that the learning rule solves, one run per K and size.",
    "tempotron/existence": "Exact existence of solutions of small tasks, one run per size.",
    "tempotron/clusters": "Solutions of the same task: overlaps, chords and walks, one run per input, K and load.",
    "tempotron/ablation": "Momentum, learning rate and margin.",
    "tempotron/brian": "Trained weights in Brian2.",
    "tempotron/real": "Digits, speech and recorded auditory receptors.",
}
VIEWS = (
    View(
        "tempotron/findable",
        "Learning rule by size of the task",
        (
            curves("solved share against 100 x load", "solved_by_load_percent"),
            parallel(("k", "n"), ("findable", "median_epochs_solved")),
        ),
    ),
)
