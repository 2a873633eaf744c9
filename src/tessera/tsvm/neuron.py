"""The free neuron: event-driven, with its own resets, and how well its spikes match the desired ones.

Between two inputs V(s) = A exp(-s/tau_m) + B exp(-s/tau_s) has at most one stationary point, known in closed form, so
the first crossing of the threshold is bracketed without a grid and bisected to rounding. A spike takes theta from A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch

#: A neuron that spikes more often than this in one pattern is stopped: its score is 0 anyway.
MAX_SPIKES = 2000
#: ms by which rounding may delay a spike: one that comes this soon after the end of a pattern came at its end.
LATE = 1e-6


def simulate(
    weights: np.ndarray, theta: float, spikes: SpikeBatch, kernel: DoubleExponential, scale: float = 1.0
) -> list[np.ndarray]:
    """Output spike times in ms of the free neuron, one array per pattern.

    Raises ValueError unless weights are N finite numbers and the threshold is above 0.
    """
    w = np.ascontiguousarray(weights, dtype=float)
    if w.shape != (spikes.n_neurons,) or not np.isfinite(w).all():
        raise ValueError(f"weights have shape {w.shape}; expected {spikes.n_neurons} finite numbers")
    if not theta > 0:
        raise ValueError(f"theta is {theta}; expected a positive number")
    outputs, out = [], np.empty(MAX_SPIKES)
    for p in range(len(spikes)):
        times, neurons = spikes[p]
        kicks = w[neurons] * scale
        n = free_run(times, kicks, spikes.durations[p], theta, kernel.tau_m, kernel.tau_s, kernel.v0, out)
        outputs.append(out[:n].copy())
    return outputs


@dataclass(frozen=True)
class Match:
    """One-to-one matches within a window: hits, desired and actual spikes, shifts (hits,) of the matched in ms."""

    hits: int
    desired: int
    actual: int
    shifts: np.ndarray

    @property
    def f1(self) -> float:
        """2 hits / (desired + actual); 1 if both are 0."""
        return 2 * self.hits / (self.desired + self.actual) if self.desired + self.actual else 1.0

    @property
    def perfect(self) -> bool:
        return self.hits == self.desired == self.actual


def match(actual: np.ndarray, desired: np.ndarray, window: float = 2.0) -> Match:
    """Match sorted spike times one to one within +-window ms, as many as can be: the earliest that fits each."""
    shifts = np.empty(len(desired))
    hits = match_sorted(np.asarray(actual, float), len(actual), np.asarray(desired, float), window, shifts)
    return Match(hits, len(desired), len(actual), shifts[:hits])


@njit(cache=True, error_model="numpy")
def match_sorted(actual, n_actual, desired, window, shifts):
    """Number of matches; their shifts, actual - desired, are written into shifts."""
    hits = i = 0
    for d in range(len(desired)):
        while i < n_actual and actual[i] < desired[d] - window:
            i += 1
        if i < n_actual and actual[i] <= desired[d] + window:
            shifts[hits] = actual[i] - desired[d]
            hits += 1
            i += 1
    return hits


@njit(cache=True, error_model="numpy")
def crossing(a, b, length, theta, tau_m, tau_s):
    """First s in (0, length] at which a exp(-s/tau_m) + b exp(-s/tau_s) reaches theta from below; else -1."""
    low, high = 0.0, length
    if a * b < 0.0:
        turn = math.log(-(b / tau_s) / (a / tau_m)) / (1.0 / tau_s - 1.0 / tau_m)
        if 0.0 < turn < length:
            if a > 0.0:
                high = turn
            else:
                low = turn
    if a * math.exp(-high / tau_m) + b * math.exp(-high / tau_s) < theta:
        return -1.0
    if a * math.exp(-low / tau_m) + b * math.exp(-low / tau_s) >= theta:
        return low if low > 0.0 or a + b >= theta else -1.0
    for _ in range(100):
        s = 0.5 * (low + high)
        if s <= low or s >= high:
            break
        if a * math.exp(-s / tau_m) + b * math.exp(-s / tau_s) >= theta:
            high = s
        else:
            low = s
    return high


@njit(cache=True, error_model="numpy")
def free_run(times, kicks, end, theta, tau_m, tau_s, v0, out):
    """Run the neuron on sorted inputs of given weights until `end` ms; write its spikes, return their number."""
    n = 0
    a = b = 0.0
    now, last = 0.0, end + LATE
    for i in range(len(times) + 1):
        until = min(times[i], last) if i < len(times) else last
        while True:
            s = crossing(a, b, until - now, theta, tau_m, tau_s) if until > now else -1.0
            if s < 0.0:
                break
            now += s
            a = a * math.exp(-s / tau_m) - theta
            b *= math.exp(-s / tau_s)
            if n == len(out):
                return n
            out[n] = min(now, end)
            n += 1
        if i == len(times) or times[i] >= last:
            break
        a = a * math.exp(-(until - now) / tau_m) + v0 * kicks[i]
        b = b * math.exp(-(until - now) / tau_s) - v0 * kicks[i]
        now = until
    return n
