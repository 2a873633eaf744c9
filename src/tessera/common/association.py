"""Rank correlations, as they are and given what a trivial predictor knows, with bootstrap intervals."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

#: Ends of every interval, in percent: 95 %.
ENDS = (2.5, 97.5)


def interval(
    statistic: Callable[[np.ndarray], float],
    count: int,
    draws: int,
    generator: np.random.Generator,
    clusters: ArrayLike | None = None,
) -> dict[str, float | None]:
    """value, low and high of a statistic of chosen items (indices of `count`), by the percentile bootstrap.

    clusters (count,) labels items that are alike, such as windows of one document: whole clusters are then drawn.
    Draws in which the statistic is undefined (a constant sample) are left out; low and high are null if all are, or if
    there is a single cluster, which says nothing about others.
    """
    members = None
    if clusters is not None:
        _, index = np.unique(np.asarray(clusters), return_inverse=True)
        members = [np.flatnonzero(index == k) for k in range(index.max() + 1)]

    def drawn() -> np.ndarray:
        if members is None:
            return generator.integers(count, size=count)
        return np.concatenate([members[k] for k in generator.integers(len(members), size=len(members))])

    value = statistic(np.arange(count))
    alone = count < 2 if members is None else len(members) < 2
    found = np.array([] if alone else [statistic(drawn()) for _ in range(draws)])
    found = found[np.isfinite(found)]
    low, high = np.percentile(found, ENDS) if found.size else (math.nan, math.nan)
    return {k: float(v) if np.isfinite(v) else None for k, v in (("value", value), ("low", low), ("high", high))}


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
    predicted: Sequence[float],
    true: Sequence[float],
    null: ArrayLike,
    draws: int,
    generator: np.random.Generator,
    clusters: ArrayLike | None = None,
) -> dict[str, float | None]:
    """value, low and high of `partial_spearman`: what a prediction ranks beyond a trivial predictor, `null`."""
    x, y = _pairs(predicted, true)
    z = np.atleast_2d(np.asarray(null, float))
    if z.shape[1] != len(x):
        raise ValueError(f"{len(x)} predictions and {z.shape[1]} values of the null; expected equally many")
    return interval(lambda c: partial_spearman(x[c], y[c], z[:, c]), len(x), draws, generator, clusters)


def ranks(
    predicted: Sequence[float],
    true: Sequence[float],
    draws: int,
    generator: np.random.Generator,
    clusters: ArrayLike | None = None,
) -> dict[str, Any]:
    """Spearman's rho and Kendall's tau-b of two sequences, each with value, low and high; and the number of pairs."""
    x, y = _pairs(predicted, true)

    def kendall(chosen: np.ndarray) -> float:
        a, b = np.sign(x[chosen][:, None] - x[chosen]), np.sign(y[chosen][:, None] - y[chosen])
        both = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
        return float((a * b).sum()) / both if both else math.nan

    return {
        "children": len(x),
        "spearman": interval(lambda c: spearman(x[c], y[c]), len(x), draws, generator, clusters),
        "kendall": interval(kendall, len(x), draws, generator, clusters),
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
