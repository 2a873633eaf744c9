"""Rank correlations, on their own and given what a trivial predictor knows, with bootstrap intervals."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tessera.common.statistics import ENDS, clustered, geometric_mean, interval, of  # noqa: F401


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank; nan if one of both is constant."""
    return _correlation(stats.rankdata(x), stats.rankdata(y))


def partial_spearman(x: ArrayLike, y: ArrayLike, null: ArrayLike) -> float:
    """Rank correlation of x and y given null, one variable (n,) or several (variables, n).

    The correlation of what least squares on the ranks of null leaves of the ranks of x and y; nan if it leaves nothing
    of one of them, to rounding, as when null alone ranks it.
    """
    ranks = [stats.rankdata(values) for values in np.atleast_2d(np.asarray(null, float))]
    design = np.stack([np.ones(len(ranks[0])), *ranks], axis=1)
    left = []
    for values in (x, y):
        rank = stats.rankdata(values)
        residual = rank - design @ np.linalg.lstsq(design, rank, rcond=None)[0]
        left.append(residual if np.abs(residual).max() > 1e-9 * len(rank) else np.zeros(len(rank)))
    return _correlation(*left)


def partial(
    predicted: Sequence[float], true: Sequence[float], null: ArrayLike, draws: int, generator: np.random.Generator
) -> dict[str, float | None]:
    """value, low and high of `partial_spearman`: what a prediction ranks beyond a trivial predictor, `null`."""
    x, y = _pairs(predicted, true)
    z = np.atleast_2d(np.asarray(null, float))
    if z.shape[1] != len(x):
        raise ValueError(f"{len(x)} predictions and {z.shape[1]} values of the null; expected equally many")
    return interval(lambda chosen: partial_spearman(x[chosen], y[chosen], z[:, chosen]), len(x), draws, generator)


def ranks(
    predicted: Sequence[float], true: Sequence[float], draws: int, generator: np.random.Generator
) -> dict[str, Any]:
    """Spearman's rho and Kendall's tau-b of two sequences, each with value, low and high; and the number of pairs."""
    x, y = _pairs(predicted, true)

    def kendall(chosen: np.ndarray) -> float:
        a, b = np.sign(x[chosen][:, None] - x[chosen]), np.sign(y[chosen][:, None] - y[chosen])
        both = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
        return float((a * b).sum()) / both if both else math.nan

    return {
        "children": len(x),
        "spearman": interval(of(spearman, x, y), len(x), draws, generator),
        "kendall": interval(kendall, len(x), draws, generator),
    }


def _pairs(predicted: Sequence[float], true: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(predicted, float), np.asarray(true, float)
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"{len(x)} predictions and {len(y)} measurements; expected equally many, 3 or more")
    return x, y


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale else math.nan
