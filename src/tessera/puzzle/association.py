"""How well predictions rank and meet what was measured, with bootstrap intervals over the children."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

#: Ends of every interval, in percent: 95 %.
ENDS = (2.5, 97.5)


def interval(
    statistic: Callable[[np.ndarray], float], count: int, draws: int, generator: np.random.Generator
) -> dict[str, float | None]:
    """value, low and high of a statistic of chosen items (indices of `count`), by the percentile bootstrap.

    Draws in which the statistic is not defined (a constant sample) are left out; low and high are null if all are, and
    for a single item.
    """
    value = statistic(np.arange(count))
    drawn = np.array([statistic(generator.integers(count, size=count)) for _ in range(draws)])
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.percentile(drawn, ENDS) if drawn.size and count > 1 else (math.nan, math.nan)
    return {k: float(v) if np.isfinite(v) else None for k, v in (("value", value), ("low", low), ("high", high))}


def ranks(
    predicted: Sequence[float], true: Sequence[float], draws: int, generator: np.random.Generator
) -> dict[str, Any]:
    """Spearman's rho and Kendall's tau-b of two sequences, each with value, low and high; and the number of pairs."""
    x, y = np.asarray(predicted, float), np.asarray(true, float)
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"{len(x)} predictions and {len(y)} measurements; valid are equally many, 3 or more")

    def spearman(chosen: np.ndarray) -> float:
        return _correlation(stats.rankdata(x[chosen]), stats.rankdata(y[chosen]))

    def kendall(chosen: np.ndarray) -> float:
        a, b = np.sign(x[chosen][:, None] - x[chosen]), np.sign(y[chosen][:, None] - y[chosen])
        both = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
        return float((a * b).sum()) / both if both else math.nan

    return {
        "children": len(x),
        "spearman": interval(spearman, len(x), draws, generator),
        "kendall": interval(kendall, len(x), draws, generator),
    }


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale else math.nan


def bias(
    predicted: Sequence[float],
    true: Sequence[float],
    replaced: Sequence[int],
    draws: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Bias of predictions in terms of log(true / predicted).

    ratio: geometric mean of true / predicted; per_ten: factor by which that ratio grows with ten more replaced
    subblocks (slope of a straight line through the logarithms); error: root mean square of the logarithm. Each with
    value, low and high. Raises ValueError where a number is not positive.
    """
    x, y, n = (np.asarray(v, float) for v in (predicted, true, replaced))
    if (x <= 0).any() or (y <= 0).any():
        raise ValueError("a bias of ratios needs predictions and measurements > 0")
    logs = np.log(y / x)

    def slope(chosen: np.ndarray) -> float:
        spread = n[chosen] - n[chosen].mean()
        return math.exp(10 * float(spread @ logs[chosen]) / float(spread @ spread)) if spread.any() else math.nan

    return {
        "ratio": interval(lambda chosen: math.exp(logs[chosen].mean()), len(x), draws, generator),
        "per_ten": interval(slope, len(x), draws, generator),
        "error": interval(lambda chosen: math.sqrt((logs[chosen] ** 2).mean()), len(x), draws, generator),
    }


def paired(first: Sequence[float], second: Sequence[float], clusters: Sequence[int]) -> dict[str, float | None]:
    """Mean of first - second, measured on the same windows, and its standard error by cluster (document)."""
    from tessera.puzzle.score import standard_error

    difference = np.asarray(first, float) - np.asarray(second, float)
    return {"difference": float(difference.mean()), "se": standard_error(difference, np.asarray(clusters))}
