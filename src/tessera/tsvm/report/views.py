"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, parallel, scatter

#: What the runs of each experiment are.
EXPERIMENTS = {
    "tsvm/problem": "Largest dynamical margins of reference problems, with certificates, one run per problem.",
    "tsvm/load": "Random problems with more and more desired spikes, one run per number of targets.",
    "tsvm/noise": "Noise that trained weights tolerate, one run per problem and method.",
    "tsvm/sweep": "Margin and errors under jitter by precision scale and hold window.",
    "tsvm/brian": "Trained weights in Brian2, spike by spike.",
    "tsvm/kernels": "The exclusive-or over kernels: margins, and noise that each neuron tolerates.",
    "tsvm/real": "Telling two speakers apart, one run per pair of speakers.",
}
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
