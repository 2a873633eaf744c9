"""Momentum, learning rate and margin: what they do to the learning rule, everything else equal."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tessera.common.progress import track
from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron.findable import Task
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.params import AblationParams, NeuronParams


def trials(p: AblationParams, neuron: NeuronParams, seed: int) -> list[dict[str, Any]]:
    """Learn the same tasks at every momentum and rate without margin, and at one of both with every margin.

    One row per setting and task: solved, epochs, left (updates of the last epoch), and the accuracy on the same
    patterns with jittered spikes.
    """
    kernel = DoubleExponential(**neuron.model_dump())
    settings = {(momentum, rate, 0.0) for momentum, rate in itertools.product(p.momenta, p.rates)}
    settings |= {(*p.compared, margin) for margin in p.margins}
    rows = []
    grid = list(itertools.product(sorted(settings), range(p.replicates)))
    for (momentum, rate, margin), replicate in track(grid, "ablation"):
        rng = generator(seed, "tempotron", "ablation", replicate)  # the same tasks for every setting
        spikes, labels = Task("single", p.afferents, p.k, p.load).draw(kernel, rng)
        model = Tempotron(
            **neuron.model_dump(),
            learning_rate=rate,
            momentum=momentum,
            margin=margin,
            max_epochs=p.max_epochs,
            init_scale=1e-2,
            random_state=rng,
        ).fit(spikes, labels)
        noisy = jittered(spikes, p.jitter, generator(seed, "tempotron", "jitter", replicate))
        rows.append(
            {"momentum": momentum, "rate": rate, "margin": margin, "replicate": replicate}
            | {"solved": model.converged_, "epochs": model.n_epochs_, "left": int(model.history_[-1])}
            | {"jittered_accuracy": float((model.predict(noisy) == labels).mean())}
        )
    return rows


def jittered(spikes: SpikeBatch, sd: float, rng: np.random.Generator) -> SpikeBatch:
    """Shift every spike by normal noise of standard deviation sd (ms), within the pattern's duration."""
    ends = np.repeat(spikes.durations, spikes.counts)
    moved = np.clip(spikes.times + rng.normal(scale=sd, size=len(spikes.times)), 0, ends)
    patterns = []
    for start, stop in itertools.pairwise(spikes.offsets):
        order = np.argsort(moved[start:stop], kind="stable")
        patterns.append((moved[start:stop][order], spikes.neurons[start:stop][order]))
    return SpikeBatch.from_patterns(patterns, spikes.n_neurons, spikes.durations)
