"""Proportions with their intervals, and where they cross one half."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def wilson(successes: ArrayLike, trials: ArrayLike, z: float = 1.96) -> tuple[NDArray, NDArray, NDArray]:
    """(fraction, low, high): a proportion and its Wilson score interval."""
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    if np.any(n <= 0) or np.any((k < 0) | (k > n)):
        raise ValueError("wilson: 0 <= successes <= trials and trials > 0 are needed")
    centre, half = (k + z**2 / 2) / (n + z**2), z * np.sqrt(k * (n - k) / n + z**2 / 4) / (n + z**2)
    return k / n, np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def half_load(alpha: NDArray, solved: NDArray, trials: NDArray) -> tuple[float, float]:
    """Load at which half of the tasks are solvable, by logistic regression, and its standard error."""
    center, scale = alpha.mean(), max(float(np.ptp(alpha)), 1e-12)
    design = np.stack([np.ones_like(alpha), (alpha - center) / scale], 1)
    # A weak normal prior on the slope keeps the fit finite if loads separate the outcomes perfectly.
    prior = np.diag([0.0, 1e-4])
    beta = np.zeros(2)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-design @ beta))
        hessian = design.T @ (design * (trials * chance * (1 - chance))[:, None]) + prior + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (solved - trials * chance) - prior @ beta)
        beta += step * min(1.0, 5 / np.abs(step).max())
        if np.abs(step).max() < 1e-10:
            break
    half = -beta[0] / beta[1]
    gradient = np.array([-1 / beta[1], beta[0] / beta[1] ** 2])
    return float(center + scale * half), float(scale * np.sqrt(gradient @ np.linalg.solve(hessian, gradient)))


def half_point(x: ArrayLike, fraction: ArrayLike) -> float:
    """Where a falling curve first crosses one half, interpolated in log x; NaN if it does not."""
    x, fraction = np.asarray(x, float), np.asarray(fraction, float)
    below = np.flatnonzero((fraction[:-1] >= 0.5) & (fraction[1:] < 0.5))
    if len(below) == 0:
        return math.nan
    i = below[0]
    share = (fraction[i] - 0.5) / (fraction[i] - fraction[i + 1])
    return float(np.exp(np.log(x[i]) + share * (np.log(x[i + 1]) - np.log(x[i]))))
