"""Exact maximum of the potential of a leaky integrate-and-fire neuron over a pattern of spikes.

V(t) = sum_i w_i sum_{t_i < t} k(t - t_i), with k the double-exponential kernel of unit peak. A spike of weight w adds w
to the trace d, which decays with tau_m. Between two spikes, from V = v at t_k on,

    V(t_k + u) = d k(u) + v exp(-u/tau_s),       V' = slope d - v/tau_s,       slope = gain/tau_m = k'(0).

No absolute time enters an exponential, so nothing overflows; and nothing cancels, however close tau_m and tau_s are. V
rises iff v < a d, with a = tau_s slope, and has at most one stationary point, a maximum iff it rises from t_k on and
d > 0, at

    u* = peak_time + tau_m ln(1 - x v/(gain d))/x,      V* = a d exp(-u*/tau_m),      x = (tau_m - tau_s)/tau_s,

and V is continuous at the spikes, so the maxima inside and the right ends of the intervals are all candidates. V is 0
before the first spike, hence max V >= 0. The neuron fires iff max V >= threshold. Cost: O(1) per spike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch


@dataclass(frozen=True)
class Potential:
    """max V over [0, T] of each pattern (P,) and the time in ms at which it is reached (P,).

    If no candidate is positive, v_max is 0 (V before the first spike) and t_max is the time of the best candidate:
    the place where a silent neuron comes nearest to firing; 0 in a pattern without spikes.
    """

    v_max: np.ndarray
    t_max: np.ndarray


def max_potential(weights: np.ndarray, spikes: SpikeBatch, kernel: DoubleExponential | None = None) -> Potential:
    """Return the exact maximum of V over each pattern; weights (N,), units of V.

    Raises ValueError if the weights are not N finite numbers.
    """
    kernel = kernel or DoubleExponential()
    w = check_weights(weights, spikes.n_neurons)
    return Potential(*batch_max(w, prepare(spikes, kernel)))


def max_potential_reference(
    weights: np.ndarray, spikes: SpikeBatch, kernel: DoubleExponential | None = None
) -> Potential:
    """The same in plain Python, one line per equation: the reference in tests of `max_potential`."""
    kernel = kernel or DoubleExponential()
    w = check_weights(weights, spikes.n_neurons)
    m, s, x, gain = kernel.tau_m, kernel.tau_s, kernel.excess, kernel.gain
    maxima = []
    for p in range(len(spikes)):
        times, neurons = spikes[p]
        ends = np.append(times, spikes.durations[p])[1:]
        best, t_best = -math.inf, spikes.durations[p] if len(times) else 0.0
        d = v = 0.0
        for t, end, i in zip(times, ends, neurons, strict=True):
            d += w[i]
            length = end - t
            if length == 0:  # V is continuous: tested as the end of the interval before
                continue
            u = length
            if d > 0:
                share = v / (gain * d)
                u = kernel.peak_time + m * (math.log1p(-x * share) / x if x else -share) if x * share < 1 else -math.inf
            v_end = d * float(kernel(length)) + v * math.exp(-length / s)
            if u < length:
                value = gain / (1 + x) * d * math.exp(-u / m) if u > 0 else -math.inf  # else V falls from t on
            else:
                u, value = length, v_end
            if value > best:
                best, t_best = value, t + u
            d, v = d * math.exp(-length / m), v_end
        maxima.append((max(best, 0.0), t_best))
    v_max, t_max = np.array(maxima).T
    return Potential(v_max, t_max)


def psp(spikes: SpikeBatch, times: np.ndarray, kernel: DoubleExponential | None = None) -> np.ndarray:
    """Return x_i(t) = sum_{t_i < t} k(t - t_i) of each pattern at its own time: times (P,) in ms, result (P, N).

    At t_max this is the gradient of max V by the weights (envelope theorem).
    """
    kernel = kernel or DoubleExponential()
    patterns = np.repeat(np.arange(len(spikes)), spikes.counts)
    x = np.zeros((len(spikes), spikes.n_neurons))
    np.add.at(x, (patterns, spikes.neurons), kernel(np.asarray(times)[patterns] - spikes.times))
    return x


def voltage(
    weights: np.ndarray, spikes: SpikeBatch, pattern: int, grid: np.ndarray, kernel: DoubleExponential | None = None
) -> np.ndarray:
    """Return V of one pattern at the times `grid` (G,), ms: the direct sum over spikes, for figures and tests."""
    kernel = kernel or DoubleExponential()
    w = check_weights(weights, spikes.n_neurons)
    times, neurons = spikes[pattern]
    return kernel(np.asarray(grid)[:, None] - times) @ w[neurons]


def check_weights(weights: np.ndarray, n: int) -> np.ndarray:
    """Return the weights as float64 (n,). Raises ValueError, naming the first that is not finite."""
    w = np.ascontiguousarray(weights, dtype=np.float64)
    if w.shape != (n,):
        raise ValueError(f"weights have shape {w.shape}; expected ({n},), one weight per neuron")
    if not np.isfinite(w).all():
        first = int(np.argmin(np.isfinite(w)))
        raise ValueError(f"weight {first} is {w[first]}; weights must be finite")
    return w


class Prepared(NamedTuple):
    """A batch and a kernel in the form that the compiled loops read.

    times, neurons, offsets: as in SpikeBatch. ends (n,) ms: time of the next spike of the pattern, or T. Over the time
    to `ends`, fall_m and fall_s (n,) are the decay of d and of v, rise (n,) is k. The kernel's constants follow.
    """

    times: np.ndarray
    neurons: np.ndarray
    offsets: np.ndarray
    ends: np.ndarray
    fall_m: np.ndarray
    fall_s: np.ndarray
    rise: np.ndarray
    tau_m: float
    excess: float
    gain: float
    peak_time: float


def prepare(spikes: SpikeBatch, kernel: DoubleExponential) -> Prepared:
    """Return the batch and the kernel in the form that the compiled loops read."""
    ends = np.empty_like(spikes.times)
    ends[:-1] = spikes.times[1:]
    filled = spikes.counts > 0
    ends[spikes.offsets[1:][filled] - 1] = spikes.durations[filled]
    gaps = ends - spikes.times
    fall_m = np.exp(-gaps / kernel.tau_m)
    return Prepared(
        *(spikes.times, spikes.neurons, spikes.offsets, ends),
        *(fall_m, np.exp(-gaps / kernel.tau_s), kernel.rise(gaps) * fall_m),
        *(kernel.tau_m, kernel.excess, kernel.gain, kernel.peak_time),
    )


@njit(cache=True)
def log_ratio(z):
    """ln(1 + z)/z."""
    return np.log1p(z) / z if z != 0.0 else 1.0


@njit(cache=True)
def kernel_at(lag, tau_m, excess, gain):
    """k at a lag > 0 ms, see DoubleExponential."""
    y = lag / tau_m
    return gain * np.exp(-y) * (-np.expm1(-excess * y) / excess if excess > 0.0 else y)


@njit(cache=True)
def pattern_max(w, data, p):
    """Return (max V, its time) of pattern p of Prepared data.

    The signs of V' at both ends of an interval tell whether it holds a maximum, so the logarithm is needed only for
    maxima, and only where their upper bound a d beats the best candidate so far.
    """
    times, neurons, ends = data.times, data.neurons, data.ends
    start, stop = data.offsets[p], data.offsets[p + 1]
    level = data.gain / (1.0 + data.excess)  # a = tau_s slope
    d = 0.0
    v = 0.0
    best = -np.inf
    t_best = ends[stop - 1] if stop > start else 0.0
    for k in range(start, stop):
        d += w[neurons[k]]
        if ends[k] > times[k]:
            d_end = d * data.fall_m[k]
            v_end = d * data.rise[k] + v * data.fall_s[k]
            if d > 0.0:
                if v < level * d:  # V rises at the left end
                    if not v_end < level * d_end:  # and falls at the right end, where both may have underflowed to zero
                        if level * d > best:
                            share = v / (data.gain * d)
                            u = data.peak_time - data.tau_m * share * log_ratio(-data.excess * share)
                            top = level * d * np.exp(-u / data.tau_m)
                            if top > best:
                                best = top
                                t_best = min(times[k] + u, ends[k])
                    elif v_end > best:
                        best = v_end
                        t_best = ends[k]
            elif v_end > best:
                best = v_end
                t_best = ends[k]
            d = d_end
            v = v_end
    return max(best, 0.0), t_best


@njit(cache=True)
def batch_solves(w, labels, threshold, data):
    """True iff every pattern falls on its side of the threshold: labels (P,) are +-1."""
    for p in range(len(labels)):
        v, _ = pattern_max(w, data, p)
        if (v >= threshold) != (labels[p] > 0):
            return False
    return True


@njit(cache=True)
def batch_max(w, data):
    """`pattern_max` of every pattern: (P,) maxima and (P,) times."""
    n = len(data.offsets) - 1
    v_max = np.empty(n)
    t_max = np.empty(n)
    for p in range(n):
        v_max[p], t_max[p] = pattern_max(w, data, p)
    return v_max, t_max
