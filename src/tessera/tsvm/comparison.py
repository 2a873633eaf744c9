"""One random task, the weights that every method gives it, and how much noise they bear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import TemporalSVM, baselines, robustness
from tessera.tsvm.baselines import Fit
from tessera.tsvm.params import NeuronParams, NoiseParams
from tessera.tsvm.tasks import poisson_problem

#: Methods whose weights fire at the targets exactly, so that a margin and predictions from it are defined.
EXACT = ("tsvm", "one_sided", "dead_zone", "lp", "vertex")
#: Draws of a task that are tried until one has a margin.
MAX_TRIES = 100


def feasible_task(
    wanted: NoiseParams, neuron: NeuronParams, index: int, seed: int
) -> tuple[SpikeBatch, np.ndarray, TemporalSVM, int]:
    """The index-th task with a certified margin: trains, targets, its T-SVM, and how many draws it took.

    Raises ValueError where MAX_TRIES draws have none: the load is too high.
    """
    count = wanted.targets[index % len(wanted.targets)]
    for tried in range(MAX_TRIES):
        rng = generator(seed, "tsvm", "noise", index, tried)
        spikes, targets = poisson_problem(rng, wanted.afferents, count)
        model = TemporalSVM(**neuron.model_dump()).fit(spikes, targets)
        if model.status_ == "certified":
            return spikes, targets, model, tried + 1
    raise ValueError(f"no task with {count} targets for {wanted.afferents} afferents has a margin; lower noise.targets")


def fit(
    method: str, spikes: SpikeBatch, targets: np.ndarray, model: TemporalSVM, neuron: NeuronParams,
    wanted: NoiseParams, rng: np.random.Generator,
) -> Fit:  # fmt: skip
    """Weights at threshold 1. model: the task's T-SVM with hold windows."""
    psp, tau_c = DoubleExponential(neuron.tau_m, neuron.tau_s), neuron.tau_c
    if method in ("tsvm", "one_sided"):
        own = model if method == "tsvm" else TemporalSVM(**neuron.model_dump(), hold=0.0).fit(spikes, targets)
        return Fit(own.unit_weights(), own.status_ == "certified", own.n_iter_)
    if method == "dead_zone":
        return baselines.dead_zone(spikes, targets, psp, tau_c, tau_c)
    if method == "lp":
        return baselines.largest_box_margin(spikes, targets, psp, tau_c, tau_c)
    if method == "vertex":
        return baselines.random_corner(spikes, targets, psp, tau_c, tau_c, rng)
    if method == "least_squares":
        # Chosen at the middle of the levels at which the methods are compared, on draws of its own.
        levels = sorted(wanted.levels["jitter"])
        noise = robustness.draws("jitter", spikes, wanted.validation, rng)
        return baselines.least_squares(spikes, targets, psp, "jitter", levels[len(levels) // 2], noise, wanted.window)
    return baselines.perceptron(spikes, targets, psp, max_steps=wanted.perceptron_steps)


def curve(
    w: np.ndarray, spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, kind: str,
    levels: Sequence[float], noise: np.ndarray, window: float,
) -> list[dict[str, float]]:  # fmt: skip
    """Scores at each level of noise, of weights at threshold 1."""
    found = [robustness.trials(w, 1.0, spikes, targets, psp, kind, level, noise, window) for level in levels]
    return [
        {"level": level, "f1": one.f1, "perfect": one.perfect, "shift": one.shift}
        for level, one in zip(levels, found, strict=True)
    ]


def critical(
    w: np.ndarray, spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, kind: str, noise: np.ndarray,
    window: float,
) -> float:  # fmt: skip
    """The level at which half of the trials fail."""
    return robustness.critical_level(
        lambda level: robustness.trials(w, 1.0, spikes, targets, psp, kind, level, noise, window).perfect
    )
