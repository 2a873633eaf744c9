"""Exact maximum of the potential of a leaky integrate-and-fire neuron over a pattern of spikes.

V(t) = sum_i w_i sum_{t_i < t} k(t - t_i), with k the double-exponential kernel of unit peak. Between two input spikes
V(t_k + u) = V0 (d e^{-u/tau_m} - s e^{-u/tau_s}), with traces d and s that decay to the latest spike: no absolute time
enters an exponential, so nothing overflows. V has at most one stationary point there, a maximum iff d, s > 0, at

    u* = tau_m tau_s / (tau_m - tau_s) (ln(s/d) + ln(tau_m/tau_s)),
    V* = exp((tau_m ln d - tau_s ln s) / (tau_m - tau_s)),

and V is continuous at the spikes, so the maxima inside and the right ends of the intervals are all candidates. V is 0
before the first spike, hence max V >= 0. The neuron fires iff max V >= threshold. Cost: O(1) per spike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from tessera.common.psp import DoubleExponential
from tessera.common.spikes import SpikeBatch


@dataclass(frozen=True)
class Potential:
    """max V over [0, T] of each pattern (P,) and the time in ms at which it is reached (P,).

    Where no candidate is positive, v_max is 0 (V before the first spike) and t_max is the time of the best candidate:
    the place where a silent neuron comes nearest to firing.
    """

    v_max: np.ndarray
    t_max: np.ndarray


def max_potential(weights: np.ndarray, spikes: SpikeBatch, kernel: DoubleExponential | None = None) -> Potential:
    """Return the exact maximum of V over each pattern; weights (N,), units of V.

    Raises ValueError if the weights are not N finite numbers.
    """
    kernel = kernel or DoubleExponential()
    w = check_weights(weights, spikes.n_neurons)
    return Potential(*batch_max(w, *prepare(spikes, kernel), kernel.tau_m, kernel.tau_s, kernel.v0))


def max_potential_reference(
    weights: np.ndarray, spikes: SpikeBatch, kernel: DoubleExponential | None = None
) -> Potential:
    """The same in plain Python, a line an equation: what `max_potential` is tested against."""
    kernel = kernel or DoubleExponential()
    w = check_weights(weights, spikes.n_neurons)
    m, s_, v0 = kernel.tau_m, kernel.tau_s, kernel.v0
    found = []
    for p in range(len(spikes)):
        times, neurons = spikes.pattern(p)
        ends = np.append(times[1:], spikes.duration)
        best, t_best = -math.inf, spikes.duration
        d = s = 0.0
        before = times[0]
        for t, end, i in zip(times, ends, neurons, strict=True):
            d = d * math.exp(-(t - before) / m) + w[i]
            s = s * math.exp(-(t - before) / s_) + w[i]
            before, length = t, end - t
            if length == 0:  # V is continuous: tested as the end of the interval before
                continue
            u = length
            if d > 0 and s > 0:
                u = m * s_ / (m - s_) * (math.log(s / d) + math.log(m / s_))
                if u <= 0:  # V falls all along the interval
                    continue
            if u < length:
                v = math.exp((m * math.log(d) - s_ * math.log(s)) / (m - s_))
            else:
                u, v = length, v0 * (d * math.exp(-length / m) - s * math.exp(-length / s_))
            if v > best:
                best, t_best = v, t + u
        found.append((max(best, 0.0), t_best))
    v_max, t_max = np.array(found).T
    return Potential(v_max, t_max)


def psp(spikes: SpikeBatch, times: np.ndarray, kernel: DoubleExponential | None = None) -> np.ndarray:
    """Return x_i(t) = sum_{t_i < t} k(t - t_i) of each pattern at its own time: times (P,) in ms, result (P, N).

    At t_max this is the gradient of max V by the weights (envelope theorem).
    """
    kernel = kernel or DoubleExponential()
    patterns = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
    x = np.zeros((len(spikes), spikes.n_neurons))
    np.add.at(x, (patterns, spikes.neurons), kernel(np.asarray(times)[patterns] - spikes.times))
    return x


def voltage(
    weights: np.ndarray, spikes: SpikeBatch, pattern: int, grid: np.ndarray, kernel: DoubleExponential | None = None
) -> np.ndarray:
    """Return V of one pattern at the times `grid` (G,), ms: the direct sum over spikes, for figures and tests."""
    kernel = kernel or DoubleExponential()
    w = check_weights(weights, spikes.n_neurons)
    times, neurons = spikes.pattern(pattern)
    return kernel(np.asarray(grid)[:, None] - times) @ w[neurons]


def check_weights(weights: np.ndarray, n: int) -> np.ndarray:
    """Return the weights as float64 (n,), or raise ValueError with the first one that is wrong."""
    w = np.ascontiguousarray(weights, dtype=np.float64)
    if w.shape != (n,):
        raise ValueError(f"weights have shape {w.shape}; the patterns have {n} neurons, so it must be ({n},)")
    if not np.isfinite(w).all():
        first = int(np.argmin(np.isfinite(w)))
        raise ValueError(f"weight {first} is {w[first]}; weights must be finite")
    return w


def prepare(spikes: SpikeBatch, kernel: DoubleExponential) -> tuple[np.ndarray, ...]:
    """Return what the compiled loops read: times, neurons, offsets, ends, and the decay of either trace to `ends`.

    ends (n,) ms is the time of the next spike of the pattern, or T.
    """
    ends = np.empty_like(spikes.times)
    ends[:-1] = spikes.times[1:]
    ends[spikes.offsets[1:] - 1] = spikes.duration
    gaps = ends - spikes.times
    fall_m, fall_s = np.exp(-gaps / kernel.tau_m), np.exp(-gaps / kernel.tau_s)
    return spikes.times, spikes.neurons, spikes.offsets, ends, fall_m, fall_s


@njit(cache=True)
def pattern_max(w, times, neurons, ends, fall_m, fall_s, start, stop, tau_m, tau_s, v0):
    """Return (max V, its time) of the spikes start..stop.

    The signs of V' at both ends of an interval tell whether it holds a maximum, so the logarithms are needed only for
    maxima, and only where their upper bound V0 d (1 - tau_s/tau_m) beats the best candidate so far.
    """
    eta = tau_m / tau_s
    d = 0.0
    s = 0.0
    best = -np.inf
    t_best = ends[stop - 1]
    for k in range(start, stop):
        d += w[neurons[k]]
        s += w[neurons[k]]
        d_end = d * fall_m[k]
        s_end = s * fall_s[k]
        if ends[k] > times[k]:
            if d > 0.0 and s > 0.0:
                if s * eta > d:  # V rises at the left end
                    if s_end * eta < d_end:  # and falls at the right end
                        if v0 * d * (1.0 - 1.0 / eta) > best:
                            v = np.exp((tau_m * np.log(d) - tau_s * np.log(s)) / (tau_m - tau_s))
                            if v > best:
                                best = v
                                t_best = times[k] + tau_m * tau_s / (tau_m - tau_s) * np.log(s / d * eta)
                    elif v0 * (d_end - s_end) > best:
                        best = v0 * (d_end - s_end)
                        t_best = ends[k]
            elif v0 * (d_end - s_end) > best:
                best = v0 * (d_end - s_end)
                t_best = ends[k]
        d = d_end
        s = s_end
    return max(best, 0.0), t_best


@njit(cache=True)
def batch_solves(w, labels, threshold, times, neurons, offsets, ends, fall_m, fall_s, tau_m, tau_s, v0):
    """True iff every pattern falls on its side of the threshold: labels (P,) are +-1."""
    for p in range(len(offsets) - 1):
        v, _ = pattern_max(w, times, neurons, ends, fall_m, fall_s, offsets[p], offsets[p + 1], tau_m, tau_s, v0)
        if (v >= threshold) != (labels[p] > 0):
            return False
    return True


@njit(cache=True)
def batch_max(w, times, neurons, offsets, ends, fall_m, fall_s, tau_m, tau_s, v0):
    """`pattern_max` of every pattern: (P,) maxima and (P,) times."""
    n = len(offsets) - 1
    v_max = np.empty(n)
    t_max = np.empty(n)
    for p in range(n):
        v_max[p], t_max[p] = pattern_max(
            w, times, neurons, ends, fall_m, fall_s, offsets[p], offsets[p + 1], tau_m, tau_s, v0
        )
    return v_max, t_max
