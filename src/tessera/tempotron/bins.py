"""The tempotron on independent bins: a pattern is K vectors x_k, the potential max_k w.x_k. K = 1 is the perceptron."""

from __future__ import annotations

import numpy as np
from numba import njit

from tessera.tempotron.descent import Descent, check_options, descend
from tessera.tempotron.learn import check_labels


def max_projection(weights: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """max_k w.x_k of patterns (P, K, N), result (P,)."""
    return (patterns @ weights).max(axis=1)


def solves(weights: np.ndarray, patterns: np.ndarray, labels: np.ndarray, threshold: float = 1.0) -> bool:
    """True iff every pattern falls on its side: max_k w.x_k >= threshold exactly where the label is +1."""
    return bool(np.array_equal(max_projection(weights, patterns) >= threshold, labels > 0))


def train(
    patterns: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    rate: float,
    momentum: float = 0.99,
    threshold: float = 1.0,
    max_epochs: int = 3000,
    init_scale: float = 1e-2,
    restarts: int = 0,
) -> Descent:
    """Run the tempotron's rule on patterns (P, K, N); see `descent`. Raises ValueError if an argument is invalid."""
    check_options(rate=rate, momentum=momentum, threshold=threshold)
    x = np.ascontiguousarray(patterns, dtype=np.float64)
    if x.ndim != 3 or not np.isfinite(x).all():
        raise ValueError(f"patterns have shape {x.shape}; expected (P, K, N), finite")
    labels = check_labels(labels, len(x))

    def epoch(order: np.ndarray, weights: np.ndarray, velocity: np.ndarray) -> int:
        return _pass(order, labels, weights, velocity, x, rate, momentum, threshold)

    return descend(epoch, x.shape[2], len(x), rng, max_epochs=max_epochs, init_scale=init_scale, restarts=restarts)


@njit(cache=True, fastmath={"reassoc"})  # lets the dot product use SIMD
def _pass(order, labels, w, velocity, x, rate, momentum, threshold):
    updates = 0
    n_bins, n = x.shape[1], x.shape[2]
    for p in order:
        best = -np.inf
        best_bin = 0
        for k in range(n_bins):
            v = 0.0
            for i in range(n):
                v += w[i] * x[p, k, i]
            if v > best:
                best = v
                best_bin = k
        if (best >= threshold) == (labels[p] > 0):
            continue
        updates += 1
        for i in range(n):
            velocity[i] = momentum * velocity[i] + labels[p] * rate * x[p, best_bin, i]
            w[i] += velocity[i]
    return updates
