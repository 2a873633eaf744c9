"""How well predictions meet what was measured, with bootstrap intervals over the children, and paired differences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tessera.common import randomness
from tessera.common.association import clustered, interval


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
    value, low and high. Raises ValueError if a number is not positive.
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


def ratio(first: Mapping[str, Any], second: Mapping[str, Any], draws: int = 2000) -> dict[str, float | None]:
    """KL of one child over that of another: value, low and high over documents.

    Both are `by_window`, kl_div and document of the same windows, so that draws of documents are the same for both.
    """
    rows = np.stack([first["kl_div"], second["kl_div"]], axis=1)
    stream = randomness.generator(0, "puzzle", "ratio")
    return clustered(lambda r: float(r[:, 0].mean() / r[:, 1].mean()), rows, first["document"], draws, stream)


def paired(first: Sequence[float], second: Sequence[float], clusters: Sequence[int]) -> dict[str, float | None]:
    """Mean of first - second, measured on the same windows, and its standard error by cluster (document)."""
    from tessera.puzzle.scores.replace_one import standard_error

    difference = np.asarray(first, float) - np.asarray(second, float)
    return {"difference": float(difference.mean()), "se": standard_error(difference, np.asarray(clusters))}
