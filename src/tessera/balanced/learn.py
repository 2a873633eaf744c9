"""Online learning of balanced weights: a perceptron rule with noise, weight decay and Dale's law.

One cycle presents all patterns in random order (Rubin, Abbott and Sompolinsky 2017):

    h = w.x_mu - 1 + sqrt(|w|^2 sigma_in^2 + sigma_out^2) N(0, 1)
    w <- (1 - eps) w;   if y_mu h < 0:   w <- w + rho y_mu x_mu,   then w_i <- 0 wherever g_i w_i <= 0
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Rule:
    """rate rho > 0, decay 0 <= eps < 1, deviations of the input noise (per unit |w|) and of the output noise."""

    rate: float
    decay: float
    sigma_in: float
    sigma_out: float

    def __post_init__(self) -> None:
        if not 0 < self.rate < np.inf:
            raise ValueError(f"rate: {self.rate} is not a positive number")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay: {self.decay} is not within [0, 1)")
        for name in ("sigma_in", "sigma_out"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name}: {getattr(self, name)} is not a number >= 0")


@njit(cache=True)
def _cycles(weights, X, y, signs, orders, noise, rate, decay, sigma_in, sigma_out):
    """Run len(orders) cycles on weights (N,) in place; orders (C, P) pattern indices, noise (C, P) standard normal.

    The true weights are scale * weights: decay, which touches every weight at every pattern, becomes one product.
    Returns the number of errors made under noise in each cycle.
    """
    scale, square = 1.0, 0.0
    for j in range(weights.size):
        square += weights[j] * weights[j]
    errors = np.zeros(orders.shape[0], np.int64)
    for cycle in range(orders.shape[0]):
        for step in range(orders.shape[1]):
            mu = orders[cycle, step]
            h = scale * np.dot(X[mu], weights) - 1.0
            h += np.sqrt(scale * scale * square * sigma_in * sigma_in + sigma_out * sigma_out) * noise[cycle, step]
            scale *= 1.0 - decay
            if scale < 1e-100:  # before it underflows
                weights *= scale
                square *= scale * scale
                scale = 1.0
            if y[mu] * h < 0:
                errors[cycle] += 1
                change = rate * y[mu] / scale
                square = 0.0
                for j in range(weights.size):
                    value = weights[j] + change * X[mu, j]
                    value = value if signs[j] * value > 0 else 0.0
                    weights[j] = value
                    square += value * value
        # Fold the scale back, and with it the rounding of the running square.
        square = 0.0
        for j in range(weights.size):
            weights[j] *= scale
            square += weights[j] * weights[j]
        scale = 1.0
    return errors


def initial_weights(rng: np.random.Generator, signs: NDArray, mean: float = 1e-3) -> NDArray:
    """w_0 = mean * Exp(1) * g (N,)."""
    return mean * rng.exponential(size=len(signs)) * signs


def train(
    X: ArrayLike, y: ArrayLike, signs: ArrayLike, w: ArrayLike, rule: Rule, marks: ArrayLike, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Learn for max(marks) cycles.

    X (P, N), y (P,) +-1, signs (N,) +-1, w (N,) start with g w >= 0; marks: increasing numbers of cycles, from 0.
    Returns weights (marks, N) at the marks and the fraction of errors under noise (cycles,) in every cycle.
    """
    X, y, signs = (np.ascontiguousarray(a, float) for a in (X, y, signs))
    w, marks = np.array(w, float), np.asarray(marks, int)
    if not np.isfinite(X).all():
        raise ValueError("X: holds values that are not finite")
    if not (np.isin(y, (-1, 1)).all() and np.isin(signs, (-1, 1)).all()):
        raise ValueError("y, signs: expected values of +1 and -1")
    if not np.isfinite(w).all():
        raise ValueError(f"w[{int(np.argmin(np.isfinite(w)))}]: {w[~np.isfinite(w)][0]} is not finite")
    if np.any(signs * w < 0):
        raise ValueError(f"w[{int(np.argmax(signs * w < 0))}]: its sign differs from that of its afferent")
    if len(marks) == 0 or marks[0] < 0 or np.any(np.diff(marks) <= 0):
        raise ValueError(f"marks: {marks.tolist()} is not an increasing list of cycles >= 0")
    kept, errors = [], []
    done = 0
    for mark in marks:
        while done < mark:
            count = min(256, mark - done)  # noise and orders of a chunk, not of the whole run, are held in memory
            orders = rng.permuted(np.tile(np.arange(len(y)), (count, 1)), axis=1)
            noise = rng.standard_normal((count, len(y)))
            rates = (rule.rate, rule.decay, rule.sigma_in, rule.sigma_out)
            errors.append(_cycles(w, X, y, signs, orders, noise, *rates) / len(y))
            done += count
        kept.append(w.copy())
    return np.array(kept), np.concatenate(errors) if errors else np.empty(0)
