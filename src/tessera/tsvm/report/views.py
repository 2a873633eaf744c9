"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, parallel, scatter

#: What the runs of each experiment are.
EXPERIMENTS: dict[str, str] = {}
VIEWS = (
    View(
        "tsvm/noise",
        "Critical noise by method",
        (
            parallel(("method",), ("critical_synaptic", "critical_membrane", "critical_jitter")),
            scatter("critical_synaptic", "critical_jitter"),
        ),
    ),
)
