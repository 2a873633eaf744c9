"""Bootstrap intervals, which count every level at which a result could have come out differently."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

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


def clustered_interval(
    groups: Sequence[ArrayLike],
    statistic: Callable[[np.ndarray], ArrayLike],
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> tuple[np.ndarray, np.ndarray]:
    """Two-level bootstrap interval of a statistic of measurements that come in groups, such as seeds within problems.

    groups: one array (n_g, ...) per group, of equal trailing shape. statistic: maps measurements (n, ...) from all
    groups, joined along the first axis, to a number or an array, such as `lambda x: np.median(x, axis=0)`. Returns low
    and high, of the shape of the statistic.

    Each draw takes as many groups as there are, with replacement, and from each as many members as it has, with
    replacement. Resampling members alone would answer for these very groups and no others. The percentile interval of
    G groups is then stretched about the estimate by sqrt(G / (G - 1)) t / z, with the quantiles t of Student's
    distribution (G - 1 degrees of freedom) and z of the normal one: without that, the interval of three groups covers
    the truth in only 80 % of cases. Coverage then is at least the level from three groups on, and above it if groups
    hardly differ. The price is width: 2.7 times that of the percentile interval with three groups, 1.2 times with
    twelve; ends can lie outside the range of a bounded statistic. Independent measurements are groups of one.

    Draws for which the statistic is NaN are left out; an end is NaN if all are. Raises ValueError if there are fewer
    than two groups, or one is empty.

    Sources: A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8 (two levels);
    T. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69 (2015) (the same
    factor, there of the quantile's level).
    """
    arrays = [np.asarray(group) for group in groups]
    sizes = np.array([len(array) for array in arrays])
    count = len(arrays)
    if count < 2 or not sizes.all():
        raise ValueError(f"groups of {sizes.tolist()} members: expected two or more groups, none of them empty")
    members, starts = np.concatenate(arrays), np.cumsum(sizes) - sizes
    chosen = rng.integers(count, size=(draws, count))
    drawn = []
    for one in chosen:
        repeated = np.repeat(one, sizes[one])
        within = (rng.random(len(repeated)) * sizes[repeated]).astype(int)
        drawn.append(statistic(members[starts[repeated] + within]))
    estimate = np.asarray(statistic(members))
    upper = (1 + level) / 2
    stretch = np.sqrt(count / (count - 1)) * stats.t.ppf(upper, count - 1) / stats.norm.ppf(upper)
    low, high = _quantiles(np.asarray(drawn, dtype=float), [1 - upper, upper])
    return estimate + stretch * (low - estimate), estimate + stretch * (high - estimate)


def _quantiles(drawn: np.ndarray, ends: list[float]) -> np.ndarray:
    """Quantiles along the first axis of the draws that are no NaN; NaN where there are none."""
    flat = drawn.reshape(len(drawn), -1)
    columns = [column[np.isfinite(column)] for column in flat.T]
    found = [np.quantile(column, ends) if column.size else np.full(len(ends), np.nan) for column in columns]
    return np.array(found).T.reshape(len(ends), *drawn.shape[1:])


def percentile_interval(
    statistic: Callable[..., np.ndarray],
    values: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of independent values (n,), such as those of one function's seeds.

    statistic takes an array (draws, n) and axis=1, as np.median and np.mean do: all draws are computed at once.
    """
    resampled = statistic(values[rng.integers(len(values), size=(draws, len(values)))], axis=1)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def of(statistic: Callable[..., float], *columns: np.ndarray) -> Callable[[np.ndarray], float]:
    """The statistic of the chosen items of columns (n,), as `interval` asks for it."""
    return lambda chosen: float(statistic(*(column[chosen] for column in columns)))


def geometric_mean(logs: np.ndarray) -> float:
    """Geometric mean of values whose logarithms are given."""
    return math.exp(float(logs.mean()))


def _named(value: float, low: float, high: float) -> dict[str, float | None]:
    ends = (("value", value), ("low", low), ("high", high))
    return {name: float(number) if np.isfinite(number) else None for name, number in ends}
