"""Rank correlations, as they are and given what a trivial predictor knows, with bootstrap intervals."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tessera.common.statistics import clustered_interval

#: Ends of every interval, in percent: 95 %.
ENDS = (2.5, 97.5)


def interval(
    statistic: Callable[[np.ndarray], float], count: int, draws: int, generator: np.random.Generator
) -> dict[str, float | None]:
    """value, low and high of a statistic of chosen items (indices of `count`), by the percentile bootstrap.

    Items are taken as independent; see `clustered`. Draws in which the statistic is undefined (a constant sample) are
    left out; low and high are null if all are, or if there is a single item, which says nothing about others.
    """
    value = statistic(np.arange(count))
    found = np.array([statistic(generator.integers(count, size=count)) for _ in range(draws if count > 1 else 0)])
    found = found[np.isfinite(found)]
    low, high = np.percentile(found, ENDS) if found.size else (math.nan, math.nan)
    return _named(value, low, high)


def of(statistic: Callable[..., float], *columns: np.ndarray) -> Callable[[np.ndarray], float]:
    """The statistic of the chosen items of columns (n,), as `interval` asks for it."""
    return lambda chosen: float(statistic(*(column[chosen] for column in columns)))


def geometric_mean(logs: np.ndarray) -> float:
    """Geometric mean of values whose logarithms are given."""
    return math.exp(float(logs.mean()))


def clustered(
    statistic: Callable[[np.ndarray], float],
    rows: ArrayLike,
    clusters: ArrayLike,
    draws: int,
    generator: np.random.Generator,
) -> dict[str, float | None]:
    """value, low and high of a statistic of rows (n, ...) that are alike within clusters (n,), by `clustered_interval`.

    Clusters are such as the windows of one document, or the draws of noise on one task. low and high are null if there
    is a single cluster, which says nothing about others.
    """
    rows = np.asarray(rows, float)
    labels, index = np.unique(np.asarray(clusters), return_inverse=True)
    if len(labels) < 2:
        return _named(statistic(rows), math.nan, math.nan)
    groups = [rows[index == k] for k in range(len(labels))]
    low, high = clustered_interval(groups, statistic, generator, draws=draws)
    return _named(statistic(rows), float(low), float(high))


def _named(value: float, low: float, high: float) -> dict[str, float | None]:
    ends = (("value", value), ("low", low), ("high", high))
    return {name: float(number) if np.isfinite(number) else None for name, number in ends}


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
