"""Capacity in continuous time, without overlap between clusters: the replica theory of the neuron's own potential.

The potential of a pattern is a stationary Gaussian process z of autocovariance C over T = K sqrt(tau_m tau_s), in units
of its standard deviation, not K independent bins. One-step replica symmetry breaking at q0 = 0, q1 -> 1 gives

    alpha = max_theta min_x  ln(1 + x) / -(ln E exp(-x d_+^2 / 2) + ln E exp(-x d_-^2 / 2)),

with d_+ = (theta - max z)_+, how far a target is from firing, and d_-, how far a null is from silence: the least norm,
in the reproducing kernel Hilbert space of C, of a change y with z + y <= theta,

    d_-^2 = max_{l >= 0} [2 l.(z - theta) - l.C l],

a non-negative least squares problem, whose l is the weight of the times at which y holds z down. With C = 1, the
identity, this is the theory of independent bins (`theory.zero_overlap`). Expectations are means over sampled traces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import optimize

from tessera.neurons.psp import DoubleExponential
from tessera.tempotron.maximum import process_paths
from tessera.tempotron.theory import LOG_X, median_threshold


@dataclass(frozen=True)
class SampledCapacity:
    """A capacity from sampled traces: its standard error (over traces, at the optimal theta and x), theta and x."""

    alpha: float
    error: float
    theta: float
    x: float


def zero_overlap(
    k: float,
    traces: int,
    rng: np.random.Generator,
    kernel: DoubleExponential | None = None,
    dt: float = 0.5,
) -> SampledCapacity:
    """1RSB capacity with q0 = 0 of the process at K >= 2, from `traces` samples on a grid of dt ms.

    The maximum is sought within 0.6 of the threshold at which half of K independent bins would fire; the traces are the
    same at every theta, so that it is that of a smooth function.
    """
    if not k >= 2:
        raise ValueError(f"K is {k}; expected at least 2")
    kernel = kernel or DoubleExponential()
    z = np.concatenate(list(process_paths(k, traces, rng, kernel, dt)))
    return optimal(z, kernel.autocovariance(dt * np.arange(z.shape[1])), median_threshold(k))


def optimal(z: np.ndarray, covariance: np.ndarray, middle: float) -> SampledCapacity:
    """The capacity of traces z (n, G) of unit variance, whose covariance (G,) is by lag; theta is near `middle`."""
    top = z.max(axis=1)

    def inner(theta: float) -> tuple[float, float, float]:
        target, null = np.maximum(theta - top, 0) ** 2, silence_cost(z, theta, covariance)

        def ratio(log_x: float) -> float:
            return math.log1p(math.exp(log_x)) / _energy(math.exp(log_x), target, null)

        optimum = optimize.minimize_scalar(ratio, bounds=LOG_X, method="bounded", options={"xatol": 1e-4})
        x = math.exp(optimum.x)
        return float(optimum.fun), x, float(optimum.fun) * _energy_error(x, target, null) / _energy(x, target, null)

    bounds = (middle - 0.6, middle + 0.6)
    best = optimize.minimize_scalar(lambda v: -inner(v)[0], bounds=bounds, method="bounded", options={"xatol": 5e-3})
    alpha, x, error = inner(best.x)
    return SampledCapacity(alpha, error, float(best.x), x)


def _energy(x: float, target: np.ndarray, null: np.ndarray) -> float:
    return -float(np.log(np.exp(-x * target / 2).mean()) + np.log(np.exp(-x * null / 2).mean()))


def _energy_error(x: float, target: np.ndarray, null: np.ndarray) -> float:
    """Standard error of the energy: both means are over the same traces."""
    parts = [weight / weight.mean() for weight in (np.exp(-x * target / 2), np.exp(-x * null / 2))]
    return float((parts[0] + parts[1]).std(ddof=1) / math.sqrt(len(target)))


def silence_cost(z: np.ndarray, theta: float, covariance: np.ndarray) -> np.ndarray:
    """d_-^2 (n,) of traces z (n, G): the least squared norm of a change that holds a trace at or below theta.

    covariance (G,) is C by lag, in steps of the grid, C(0) = 1. Raises ValueError if the shapes do not match.
    """
    if z.ndim != 2 or covariance.shape != z.shape[1:]:
        raise ValueError(f"traces have shape {z.shape} and the covariance {covariance.shape}; expected (n, G) and (G,)")
    return _silence_costs(np.ascontiguousarray(z, dtype=np.float64), float(theta), np.ascontiguousarray(covariance))


@njit(cache=True)
def _silence_costs(z, theta, c):
    costs = np.empty(len(z))
    for i in range(len(z)):
        costs[i] = _silence_cost(z[i] - theta, c)
    return costs


@njit(cache=True)
def _silence_cost(h, c):
    """Active-set non-negative least squares (Lawson and Hanson) for max 2 l.h - l.C l, C Toeplitz; few l are not 0."""
    held = np.empty(len(h), dtype=np.int64)  # the grid points whose l > 0
    force = np.zeros(len(h))
    n = 0
    slack = h.copy()  # h - C l, what is left above the threshold
    for _ in range(10 * len(h)):
        new = np.argmax(slack)
        if slack[new] <= 1e-7:
            break
        held[n] = new
        force[n] = 0.0
        n += 1
        while True:
            gram = np.empty((n, n))
            right = np.empty(n)
            for a in range(n):
                right[a] = h[held[a]]
                for b in range(n):
                    gram[a, b] = c[abs(held[a] - held[b])]
            s = np.linalg.solve(gram, right)
            share = 1.0
            for a in range(n):
                if s[a] <= 0.0:
                    share = min(share, force[a] / (force[a] - s[a]))
            for a in range(n):
                force[a] += share * (s[a] - force[a])
            if share == 1.0:
                break
            kept = 0
            for a in range(n):
                if force[a] > 1e-12:
                    held[kept], force[kept] = held[a], force[a]
                    kept += 1
            n = kept
        slack[:] = h
        for a in range(n):
            for t in range(len(h)):
                slack[t] -= force[a] * c[abs(t - held[a])]
    cost = 0.0
    for a in range(n):
        cost += force[a] * h[held[a]]
    return cost
