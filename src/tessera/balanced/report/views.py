"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, curves, scatter

#: What the runs of each experiment are.
EXPERIMENTS = {
    "balanced/theory": "Critical loads and margins predicted by theory.",
    "balanced/feasibility": "Random tasks around the critical loads: how many have a solution, and a balanced one.",
    "balanced/margins": "Optimal weights of random tasks: margins and distribution, one run per law of inputs.",
    "balanced/learning": "Online learning, one run per kind of noise.",
    "balanced/lif": "Integrate-and-fire neurons that read out the optimal weights.",
    "balanced/attractor": "Attractor networks, one run per size.",
}
VIEWS = (
    View(
        "balanced/learning",
        "Learning by noise",
        (
            curves("imbalance", "imbalance"),
            curves("output margin", "kappa_out"),
            scatter("imbalance.mean", "kappa_out.mean"),
        ),
        group_by=("noise",),
    ),
)
