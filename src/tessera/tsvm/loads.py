"""Random problems at one load: hard and soft margin, and the first-error perceptron for comparison."""

from __future__ import annotations

import pandas as pd

from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import baselines
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.neuron import match, simulate
from tessera.tsvm.params import LoadParams, NeuronParams
from tessera.tsvm.tasks import poisson_problem


def solve(params: LoadParams, neuron: NeuronParams, targets: int, seed: int) -> pd.DataFrame:
    """One row per problem with this many targets: status and bounds of the margin, and scores without noise."""
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    rows = []
    for replicate in range(params.replicates):
        rng = generator(seed, "tsvm", "load", targets, replicate)
        spikes, desired = poisson_problem(rng, params.afferents, targets)
        hard = TemporalSVM(**neuron.model_dump()).fit(spikes, desired)
        low, up = hard.margin_ or (0.0, 0.0)
        soft = TemporalSVM(**neuron.model_dump(), C=params.penalty).fit(spikes, desired)
        perceptron = baselines.perceptron(spikes, desired, psp, max_steps=params.perceptron_steps)
        actual = simulate(perceptron.w, 1.0, spikes, psp)[0]
        rows.append(
            {
                "targets": targets,
                "load": targets / params.afferents,
                "replicate": replicate,
                "status": hard.status_,
                "low": low,
                "up": up,
                "cuts": hard.history_[-1].cuts,
                "soft_f1": soft.score(spikes, desired),
                "perceptron_f1": match(actual, desired).f1,
                "perceptron_converged": perceptron.converged,
            }
        )
    return pd.DataFrame(rows)
