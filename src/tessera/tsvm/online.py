"""The online rule: look for the worst row in continuous time, step along it, shrink.

A stochastic subgradient step on lambda/2 |w|^2 + max(0, 1 - least row), at rate 1/(lambda t), is

    w <- (1 - 1/t) w + q/(lambda t)

with q the worst row on the equalities. All rows scale with w, so which row is worst does not depend on lambda;
neither does the margin. At lambda = 1 it is the method of Frank and Wolfe on the hull of the rows, so |w| falls to
kappa* like 1/t at best and its only certificate is computed separately. Our derivation.
"""

from __future__ import annotations

import numpy as np

from tessera.tsvm.cuts import Cuts, first_cuts
from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import Worst, worst
from tessera.tsvm.problem import Problem
from tessera.tsvm.spaces import LinearSpace


def learn(layout: Layout, steps: int) -> tuple[np.ndarray, float, list[tuple[int, float]]]:
    """Weights and threshold of the best margin met, and (step, best margin so far) wherever it rose.

    Raises ValueError if steps is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; expected at least 1")
    problem = Problem(layout, LinearSpace(layout))
    problem.add(*first_cuts(layout))
    w = problem.hull.rows[0].copy()
    best, kept = 0.0, (w, 0.0)
    history: list[tuple[int, float]] = []
    for t in range(1, steps + 1):
        theta, norm = problem.theta(w), float(np.linalg.norm(w))
        potential = problem.space.potential(w, np.empty(0))
        # Dinkelbach's descent from a level above all rows; then, from just above the least, where that lies.
        least = worst(potential, layout, theta, level=norm * problem.size).least
        rows = worst(potential, layout, theta, level=least + 1e-9 * norm * problem.size)
        if least / norm > best:
            best, kept = least / norm, (w, theta)
            history.append((t, best))
        w = (1 - 1 / (t + 1)) * w + _worst_row(problem, rows) / (t + 1)
    return kept[0], kept[1], history


def _worst_row(problem: Problem, rows: Worst) -> np.ndarray:
    """The worst row itself, without what the equalities hold fixed."""
    layout, cuts = problem.layout, Cuts()
    slope = int(np.argmin(rows.slopes))
    if not len(rows.values) or rows.slopes[slope] <= rows.values[0]:
        where = layout.target_pattern[[slope]], layout.targets[[slope]], np.array(["slope"])
    else:
        where = rows.patterns[:1], rows.times[:1], rows.kinds[:1]
    cuts.extend(layout, *where)
    return problem.reduced(cuts)[0]
