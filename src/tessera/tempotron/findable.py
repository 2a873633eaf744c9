"""What the learning rule solves within a budget of epochs: lower bounds on the capacity, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, xlogy

from tessera.common.progress import track
from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import tasks
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.params import FindableParams, NeuronParams, RateParams


@dataclass(frozen=True)
class Task:
    """A random classification task: P = round(load N) patterns of N afferents over K sqrt(tau_m tau_s) ms."""

    ensemble: tasks.Ensemble
    n: int
    k: float
    load: float

    @property
    def n_patterns(self) -> int:
        return round(self.load * self.n)

    def draw(self, kernel: DoubleExponential, rng: np.random.Generator):
        """Return (spikes, labels)."""
        duration = tasks.duration(self.k, kernel)
        spikes = tasks.spike_patterns(self.ensemble, self.n, self.n_patterns, duration, rng)
        return spikes, tasks.labels(self.n_patterns, rng)


def attempt(task: Task, model: Tempotron, rng: np.random.Generator) -> Tempotron:
    """Draw the task, fit a clone of the model on it and return the fitted clone; one child stream each."""
    draw, learn = rng.spawn(2)
    spikes, labels = task.draw(DoubleExponential(model.tau_m, model.tau_s), draw)
    return Tempotron(**(model.get_params() | {"random_state": learn})).fit(spikes, labels)


def trials(k: float, n: int, p: FindableParams, neuron: NeuronParams, seed: int) -> list[dict[str, Any]]:
    """Let the rule learn random tasks of n afferents at K over all loads: one row per task, with its budget."""
    model = Tempotron(
        **neuron.model_dump(),
        learning_rate=p.rate / n,
        momentum=p.momentum,
        max_epochs=p.max_epochs,
        restarts=p.restarts,
        init_scale=p.init_scale,
    )
    rows = []
    grid = [(load, replicate) for load in p.loads for replicate in range(p.replicates)]
    for load, replicate in track(grid, f"K = {k}, N = {n}"):
        stream = generator(seed, "tempotron", "findable", round(1000 * k), n, round(1000 * load), replicate)
        fitted = attempt(Task(p.ensemble, n, k, load), model, stream)
        rows.append(
            {"k": k, "n": n, "load": load, "replicate": replicate, "solved": fitted.converged_}
            | {"epochs": fitted.n_epochs_, "restart": fitted.restart_, "left": int(fitted.history_[-1])}
            | {"rate": fitted.learning_rate_, "momentum": p.momentum, "max_epochs": p.max_epochs}
        )
    return rows


def learning_speed(p: RateParams, neuron: NeuronParams, seed: int) -> dict[str, float]:
    """Return the mean log10 of epochs to a solution, and the fraction of tasks solved.

    An unsolved task counts as 2 max_epochs. The tasks are the same for every learning rate and momentum.
    """
    task = Task("single", p.afferents, p.k, p.load)
    model = Tempotron(
        **neuron.model_dump(),
        learning_rate=p.learning_rate,
        momentum=1 - p.decay,
        max_epochs=p.max_epochs,
        init_scale=1e-2,
    )
    fits = [attempt(task, model, generator(seed, "tempotron", "rate", replicate)) for replicate in range(p.replicates)]
    epochs = [fit.n_epochs_ if fit.converged_ else 2 * p.max_epochs for fit in fits]
    return {"log10_epochs": float(np.mean(np.log10(epochs))), "solved": float(np.mean([f.converged_ for f in fits]))}


@dataclass(frozen=True)
class Crossing:
    """Load at which half of the tasks are solved, with a 95 % interval over tasks.

    None if the solved fractions stay on one side of one half, so that the loads tried do not bracket it; likewise an
    end of the interval that lies outside them.
    """

    load: float | None
    low: float | None
    high: float | None


def half_crossing(loads: np.ndarray, solved: np.ndarray, rng: np.random.Generator, bootstrap: int = 1000) -> Crossing:
    """Fit P(solved) = 1 / (1 + exp((load - load_half) / width)) to tasks of `loads` (n,) and `solved` (n,) booleans.

    The interval is the percentile bootstrap over tasks, resampled within each load.
    """
    loads, solved = np.asarray(loads, dtype=float), np.asarray(solved, dtype=bool)
    levels, place = np.unique(loads, return_inverse=True)
    counts = np.bincount(place)
    wins = np.bincount(place, weights=solved)
    draws = rng.binomial(counts, wins / counts, size=(bootstrap, len(levels)))
    different, times = np.unique(draws, axis=0, return_counts=True)
    crossings = np.repeat([_fit(levels, draw, counts) for draw in different], times)
    low, high = np.quantile(crossings, [0.025, 0.975])
    return Crossing(_within(_fit(levels, wins, counts), levels), _within(low, levels), _within(high, levels))


def _within(load: float, levels: np.ndarray) -> float | None:
    return float(load) if levels[0] <= load <= levels[-1] else None


def _fit(levels: np.ndarray, wins: np.ndarray, counts: np.ndarray) -> float:
    """Maximum-likelihood half-crossing; a weak log-normal prior on the width (median 0.15, one e-fold) keeps it finite
    if all loads below are solved and none above."""

    def loss(v: np.ndarray) -> float:
        p = np.clip(expit((v[0] - levels) / np.exp(v[1])), 1e-12, 1 - 1e-12)
        likelihood = xlogy(wins, p) + xlogy(counts - wins, 1 - p)
        return -likelihood.sum() + (v[1] - np.log(0.15)) ** 2 / 2

    spacing = np.diff(levels).mean() if len(levels) > 1 else 1.0
    start = levels[0] - spacing / 2 + spacing * (wins / counts).sum()
    optimum = minimize(loss, [start, np.log(0.15)], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6})
    return float(optimum.x[0])
