"""Edge rules: what happens to a candidate on the boundary of the cube.

none      it is kept
hard      it is discarded, the rule of R. Rubin (arXiv 1807.00373), here within a width that excludes the same volume in
          any dimension
evidence  it is kept if the model is sure that f falls outwards (ours), since some optima do lie on the edge
"""

import numpy as np
from scipy.special import ndtr

from tessera.bayesopt.gp import Posterior
from tessera.bayesopt.settings import Edges


def edge_width(excluded: float, edged: int) -> float:
    """Distance to a bound, per axis, within which lies the share `excluded` of a cube: (1 - (1 - p)^(1/D)) / 2."""
    return (1 - (1 - excluded) ** (1 / max(edged, 1))) / 2


def faces(row: np.ndarray, edged: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Axes on whose lower and upper face a row (D,) lies, both (D,), of those that have edges (D,)."""
    return edged & (row <= width), edged & (row >= 1 - width)


def passes(rule: Edges, row: np.ndarray, edged: np.ndarray, width: float, tau: float, posterior: Posterior) -> bool:
    """Whether the rule lets a row (D,) pass.

    The evidence rule asks, for each face the row lies on, whether f falls outwards with a probability above tau.
    """
    if rule == "none":
        return True
    low, high = faces(row, edged, width)
    if rule == "hard":
        return not (low | high).any()
    for axis in np.flatnonzero(low | high):
        mean, sd = posterior.partial(row, int(axis))
        outwards = -mean if low[axis] else mean
        if not ndtr(-outwards / max(sd, 1e-12)) > tau:
            return False
    return True
