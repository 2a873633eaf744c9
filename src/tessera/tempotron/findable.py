"""What the learning rule solves within a budget of epochs: lower bounds on the capacity, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, xlogy

from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import tasks
from tessera.tempotron.learn import Tempotron


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


@dataclass(frozen=True)
class Crossing:
    """Load at which half of the tasks are solved, with a 95 % interval over tasks.

    None where the solved fractions stay on one side of one half, so that the loads tried do not bracket it; the same
    for an end of the interval that lies outside them.
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
    trials = np.bincount(place)
    wins = np.bincount(place, weights=solved)
    draws = rng.binomial(trials, wins / trials, size=(bootstrap, len(levels)))
    fits, counts = np.unique(draws, axis=0, return_counts=True)
    crossings = np.repeat([_fit(levels, one, trials) for one in fits], counts)
    low, high = np.quantile(crossings, [0.025, 0.975])
    return Crossing(_within(_fit(levels, wins, trials), levels), _within(low, levels), _within(high, levels))


def _within(load: float, levels: np.ndarray) -> float | None:
    return float(load) if levels[0] <= load <= levels[-1] else None


def _fit(levels: np.ndarray, wins: np.ndarray, trials: np.ndarray) -> float:
    """Maximum-likelihood half-crossing; a weak log-normal prior on the width (median 0.15, one e-fold) keeps it finite
    where all loads below are solved and none above."""

    def loss(v: np.ndarray) -> float:
        p = np.clip(expit((v[0] - levels) / np.exp(v[1])), 1e-12, 1 - 1e-12)
        likelihood = xlogy(wins, p) + xlogy(trials - wins, 1 - p)
        return -likelihood.sum() + (v[1] - np.log(0.15)) ** 2 / 2

    spacing = np.diff(levels).mean() if len(levels) > 1 else 1.0
    start = levels[0] - spacing / 2 + spacing * (wins / trials).sum()
    found = minimize(loss, [start, np.log(0.15)], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6})
    return float(found.x[0])
