"""Random tasks that have a margin, the weights that every method gives them, and how much noise these tolerate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tessera.common import progress
from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import baselines, prediction, robustness
from tessera.tsvm.baselines import Fit
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.params import NeuronParams, NoiseParams, SweepParams
from tessera.tsvm.tasks import poisson_problem

#: Methods whose weights fire at the targets exactly, so that a margin and predictions from it are defined.
EXACT = ("tsvm", "one_sided", "dead_zone", "lp", "vertex")
#: Draws of a task that are tried until one has a margin.
MAX_TRIES = 100


def feasible_task(
    params: NoiseParams, neuron: NeuronParams, index: int, seed: int
) -> tuple[SpikeBatch, np.ndarray, TemporalSVM, int]:
    """The index-th task with a certified margin: trains, targets, its T-SVM, and how many draws it took.

    Raises ValueError if MAX_TRIES draws have none: the load is too high.
    """
    count = params.targets[index % len(params.targets)]
    for draw in range(MAX_TRIES):
        rng = generator(seed, "tsvm", "noise", index, draw)
        spikes, targets = poisson_problem(rng, params.afferents, count)
        model = TemporalSVM(**neuron.model_dump()).fit(spikes, targets)
        if model.status_ == "certified":
            return spikes, targets, model, draw + 1
    raise ValueError(f"no task with {count} targets for {params.afferents} afferents has a margin; lower noise.targets")


def fit(
    method: str, spikes: SpikeBatch, targets: np.ndarray, model: TemporalSVM, neuron: NeuronParams,
    params: NoiseParams, rng: np.random.Generator,
) -> Fit:  # fmt: skip
    """Weights at threshold 1. model: the task's T-SVM with hold windows."""
    psp, tau_c = DoubleExponential(neuron.tau_m, neuron.tau_s), neuron.tau_c
    if method in ("tsvm", "one_sided"):
        svm = model if method == "tsvm" else TemporalSVM(**neuron.model_dump(), hold=0.0).fit(spikes, targets)
        return Fit(svm.unit_weights(), svm.status_ == "certified", svm.n_iter_)
    if method == "dead_zone":
        return baselines.dead_zone(spikes, targets, psp, tau_c, tau_c)
    if method == "lp":
        return baselines.largest_box_margin(spikes, targets, psp, tau_c, tau_c)
    if method == "vertex":
        return baselines.random_corner(spikes, targets, psp, tau_c, tau_c, rng)
    if method == "least_squares":
        # Chosen at the middle of the levels at which the methods are compared, on separate draws.
        levels = sorted(params.levels["jitter"])
        noise = robustness.draws("jitter", spikes, params.validation, rng)
        return baselines.least_squares(spikes, targets, psp, "jitter", levels[len(levels) // 2], noise, params.window)
    return baselines.perceptron(spikes, targets, psp, max_steps=params.perceptron_steps)


def curve(
    w: np.ndarray, spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, kind: str,
    levels: Sequence[float], noise: np.ndarray, window: float,
) -> list[dict[str, float]]:  # fmt: skip
    """Scores at each level of noise, of weights at threshold 1."""
    rows = []
    for level in levels:
        scores = robustness.trials(w, 1.0, spikes, targets, psp, kind, level, noise, window)
        rows.append({"level": level, "f1": scores.f1, "perfect": scores.perfect, "shift": scores.shift})
    return rows


def critical(
    w: np.ndarray, spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, kind: str, noise: np.ndarray,
    window: float,
) -> float:  # fmt: skip
    """The level at which half of the trials fail."""
    return robustness.critical_level(
        lambda level: robustness.trials(w, 1.0, spikes, targets, psp, kind, level, noise, window).perfect
    )


def under_noise(
    params: NoiseParams, neuron: NeuronParams, problem: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Noise that the weights of every method tolerate on one task, and what is predicted of them.

    Returns the curves, one row per method, kind of noise and level, and the critical levels, one row per method and
    kind. Every method meets the same draws of noise.
    """
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    spikes, targets, model, tries = feasible_task(params, neuron, problem, seed)
    rng = generator(seed, "tsvm", "noise", problem, "draws")
    noise = {kind: robustness.draws(kind, spikes, params.draws, rng) for kind in params.levels}
    task = {"problem": problem, "targets": len(targets), "kappa": model.certificate_.low, "tries": tries}
    rows, levels = [], []
    for method in params.methods:
        method_rng = generator(seed, "tsvm", "noise", problem, method)
        weights = fit(method, spikes, targets, model, neuron, params, method_rng)
        w, exact = weights.w, method in EXACT
        held = 0.0 if method == "one_sided" else neuron.tau_c
        margin = prediction.threshold_margin(w, spikes, targets, psp, neuron.tau_c, held) if exact else np.nan
        for kind, draws in noise.items():
            scores = curve(w, spikes, targets, psp, kind, params.levels[kind], draws, params.window)
            row: dict[str, Any] = task | {"method": method, "kind": kind}
            row |= {"converged": weights.converged, "steps": weights.steps}
            row |= {"critical": critical(w, spikes, targets, psp, kind, draws, params.window), "margin": margin}
            row |= {"by_margin": np.nan, "by_survival": np.nan, "timing": np.nan}
            if exact:
                row["by_margin"] = prediction.by_margin(w, margin, spikes, psp, kind)
                row["by_survival"] = prediction.by_survival(w, spikes, targets, psp, kind, params.window)
                sd = robustness.timing_noise(w, 1.0, spikes, psp, kind, targets)
                row["timing"] = float(np.sqrt((sd**2).mean()))
            levels.append(row)
            rows += [task | {"method": method, "kind": kind, "timing": row["timing"]} | score for score in scores]
    return pd.DataFrame(rows), pd.DataFrame(levels)


def sweep(noise: NoiseParams, params: SweepParams, neuron: NeuronParams, seed: int) -> pd.DataFrame:
    """Margin, and scores under jitter, by tau_c and hold window: one row per problem and setting."""
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    rows = []
    for problem in progress.track(range(params.problems), "problems"):
        spikes, targets, _, _ = feasible_task(noise, neuron, problem, seed)
        draws = robustness.draws("jitter", spikes, params.draws, generator(seed, "tsvm", "sweep", problem))
        for tau_c in params.tau_cs:
            for hold in params.holds:
                settings = neuron.model_dump() | {"tau_c": tau_c, "hold": hold * tau_c}
                model = TemporalSVM(**settings).fit(spikes, targets)
                row: dict[str, Any] = {"problem": problem, "targets": len(targets), "tau_c": tau_c, "hold": hold}
                row |= {"status": model.status_, "low": 0.0, "up": 0.0, "f1": np.nan, "perfect": np.nan}
                if model.margin_ is not None and model.margin_[0] > 0:
                    scores = robustness.trials(
                        model.unit_weights(), 1.0, spikes, targets, psp, "jitter", params.jitter, draws, noise.window
                    )
                    row |= {"low": model.margin_[0], "up": model.margin_[1]}
                    row |= {"f1": scores.f1, "perfect": scores.perfect}
                rows.append(row)
    return pd.DataFrame(rows)
