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

    Both are `by_window`, kl_div, document and tokens of the same windows, so that draws of documents are the same for
    both. Windows weigh by their tokens, if these are there.
    """
    rows = np.stack([first["kl_div"], second["kl_div"]], axis=1)
    if "tokens" in first:
        rows *= np.array(first["tokens"])[:, None]
    stream = randomness.generator(0, "puzzle", "ratio")
    return clustered(lambda r: float(r[:, 0].mean() / r[:, 1].mean()), rows, first["document"], draws, stream)


def paired(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, float | None]:
    """Mean over tokens of the first child's KL less the second's, and its standard error by document.

    Both are `by_window`, as of `ratio`.
    """
    from tessera.puzzle.scores.replace_one import standard_error

    difference = np.asarray(first["kl_div"], float) - np.asarray(second["kl_div"], float)
    weights = np.asarray(first["tokens"], float) if "tokens" in first else None
    return {
        "difference": float(np.average(difference, weights=weights)),
        "se": standard_error(difference, np.asarray(first["document"]), weights),
    }
