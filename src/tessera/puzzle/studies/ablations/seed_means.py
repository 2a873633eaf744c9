"""Means over seeds, with intervals."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_and_half(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean over seeds, and half of its 95 % interval by Student's t; null for a single seed."""
    n = len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else None
    return float(np.mean(values)), half
