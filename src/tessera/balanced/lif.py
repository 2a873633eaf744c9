"""Leaky integrate-and-fire neurons that read out the weights of a balanced perceptron by their spike count.

    V(t) = V_o sum_j w_j sum_k [exp(-(t - t_jk)/tau_m) - exp(-(t - t_jk)/tau_s)]     threshold 1
    V_o  = eta^(eta/(eta-1))/(eta-1), eta = tau_m/tau_s, so that one input spike peaks at w_j

A spike takes 1 from the slow (tau_m) part only; there is no refractory time. On a grid of step dt, one step adds the
weighted input of that step to both parts, lets both decay, tests V > 1 and resets once. The NumPy loop and Brian2 get
the same binned input and give the same counts, spike by spike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tessera.neurons.psp import DoubleExponential


@dataclass(frozen=True)
class Neuron:
    """Time constants, step dt and window T, all in ms."""

    tau_m: float = 30.0
    tau_s: float = 10.0
    dt: float = 0.1
    window: float = 200.0

    def __post_init__(self) -> None:
        if not 0 < self.tau_s < self.tau_m:
            raise ValueError(f"tau_s: {self.tau_s} ms is not within (0, tau_m = {self.tau_m} ms)")
        _ = self.gain  # refuses time constants too close for two exponentials
        if not 0 < self.dt <= self.window < np.inf:
            raise ValueError(f"dt: {self.dt} ms is not within (0, window = {self.window} ms]")

    @property
    def steps(self) -> int:
        return round(self.window / self.dt)

    @property
    def gain(self) -> float:
        """V_o: makes a single postsynaptic potential peak at its weight."""
        return DoubleExponential(self.tau_m, self.tau_s).v0


def poisson_input(rng: np.random.Generator, w: ArrayLike, rates: ArrayLike, neuron: Neuron) -> NDArray:
    """Weighted input (steps, P) of one Poisson trial per pattern: rates (P, N) in 1/ms, w (N,)."""
    w, rates = np.asarray(w, float), np.asarray(rates, float)
    if rates.min() < 0 or not np.isfinite(rates).all():
        raise ValueError("rates: a Poisson rate is finite and >= 0")
    binned = np.empty((neuron.steps, len(rates)))
    for pattern, rate in enumerate(rates):
        # Given their number, the spikes of a Poisson process are uniform in time; silent synapses need none.
        counts = rng.poisson(rate * neuron.window)
        weights = np.repeat(w, counts)
        times = rng.integers(0, neuron.steps, len(weights))
        binned[:, pattern] = np.bincount(times, weights, minlength=neuron.steps)
    return binned


def noise_input(rng: np.random.Generator, weights: ArrayLike, patterns: int, neuron: Neuron) -> NDArray:
    """Input (steps, P) of extra afferents that spike once each at a uniform time; weights (M,), drawn once for all."""
    weights = np.asarray(weights, float)
    times = (rng.integers(0, neuron.steps, len(weights)) for _ in range(patterns))
    return np.stack([np.bincount(t, weights, minlength=neuron.steps) for t in times], axis=1)


def spike_counts(binned: NDArray, neuron: Neuron) -> NDArray:
    """Output spikes (P,) in the window, for weighted input (steps, P)."""
    slow, fast = np.zeros(binned.shape[1]), np.zeros(binned.shape[1])
    counts = np.zeros(binned.shape[1], int)
    keep_slow, keep_fast, gain = np.exp(-neuron.dt / neuron.tau_m), np.exp(-neuron.dt / neuron.tau_s), neuron.gain
    for arriving in binned:
        slow = (slow + arriving) * keep_slow
        fast = (fast + arriving) * keep_fast
        spikes = gain * (slow - fast) > 1
        slow -= spikes / gain
        counts += spikes
    return counts


def roc(plus: ArrayLike, minus: ArrayLike) -> tuple[NDArray, NDArray, float]:
    """(false alarms, hits, area) over the count threshold, from (1, 1) down to (0, 0); ties count one half."""
    plus, minus = np.asarray(plus), np.asarray(minus)
    if plus.size == 0 or minus.size == 0:
        raise ValueError("roc: both classes need at least one count")
    thresholds = np.r_[-np.inf, np.unique(np.r_[plus, minus])]
    hits, alarms = ((counts[:, None] > thresholds).mean(0) for counts in (plus, minus))
    return alarms, hits, float(-np.trapezoid(hits, alarms))


def mean_roc(curves: Sequence[tuple[NDArray, NDArray]], points: int = 401) -> tuple[NDArray, NDArray]:
    """(false alarms, mean hits) of several curves (false alarms, hits) of `roc`, averaged at equal false alarms.

    Each curve keeps its own threshold, so the area below is the mean of the curves' areas, to 1e-3 at the default
    number of points, which are denser at few false alarms. Source: T. Fawcett, An introduction to ROC analysis, Pattern
    Recognition Letters 27, 861 (2006), section 9.1 (vertical averaging).
    """
    grid = np.linspace(0, 1, points) ** 2
    hits = np.mean([np.interp(grid, alarms[::-1], hits[::-1]) for alarms, hits in curves], axis=0)
    return np.r_[0.0, grid], np.r_[0.0, hits]


def balanced_accuracy(alarms: ArrayLike, hits: ArrayLike) -> float:
    """Mean of the hits and of the correct rejections at the best threshold of a ROC curve."""
    return float(np.max((np.asarray(hits) + 1 - np.asarray(alarms)) / 2))
