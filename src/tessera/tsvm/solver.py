"""The maximal dynamical margin by cutting planes, with a certificate that holds in continuous time.

    minimise 1/2 |w|^2   subject to  rows h(t), slope, h+(t) >= 1  and  w.phi(t_d) = theta (1 + r_d)

Of the rows, infinitely many, a few are kept: cuts. theta and the equalities are eliminated: theta by one target's row,
the others by projection. What is left is a point of least norm in the convex hull of the cuts' features (`min_norm`),
the normalised dual, feasible whether or not the task is. It gives the upper bound; the worst row over all times gives
the lower bound and the next cuts:

    (1 - v)/|w| <= kappa* <= |w(a, b, c)| / G,        v = 1 - min of all rows, G = sum of a and c.

The upper bound is evaluated from the multipliers alone, with what it may be rounded by, so that it holds whatever the
solver did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tessera.tsvm.certificate import Certificate, Round
from tessera.tsvm.cuts import Cuts, first_cuts
from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import Potential, worst
from tessera.tsvm.problem import Problem
from tessera.tsvm.spaces import ROUNDING, Space

#: Of the largest multiplier: smaller ones are no support.
SUPPORT = 1e-6
#: |w(a, b, c)| / G below this, of what it is rounded by, is zero: Farkas' proof that the task cannot be done.
ZERO = 10.0


@dataclass(frozen=True)
class Solution:
    """Weights in the normalisation kappa |w| = 1 to rounding of the rows; w = sum_j atoms_j atom_j.

    atoms: one per target, then one per cut. a (m,) multipliers of the cuts, b (n_d,) of the equalities, both of the
    last round. coordinates, theta, norm: of the weights with the best lower bound; 0 and no potential if infeasible.
    """

    coordinates: np.ndarray
    atoms: np.ndarray
    theta: float
    norm: float
    a: np.ndarray
    b: np.ndarray
    cuts: Cuts
    certificate: Certificate
    potential: Potential | None


def solve(layout: Layout, space: Space, tol: float = 1e-6, max_rounds: int = 100) -> Solution:
    """Cutting planes from the first cuts to the certificate. An infeasible task is a status, not an error.

    Raises ValueError if max_rounds is below 1.
    """
    check_rounds(max_rounds)
    problem = Problem(layout, space)
    problem.add(*first_cuts(layout))
    history: list[Round] = []
    low, up = 0.0, np.inf
    kept: tuple[np.ndarray, np.ndarray, float, float, Potential] | None = None
    status = "undecided"
    for _ in range(max_rounds):
        a = problem.multipliers()
        coordinates, atoms = problem.balanced(a)
        terms = problem.terms(a, atoms)
        ratio = space.norm(coordinates, atoms) / a.sum()
        up = min(up, space.most(ratio, terms / a.sum()))
        if ratio <= ZERO * space.most(0.0, terms / a.sum()):
            # No digit of it is sure. A margin that was proved in an earlier round stands all the same.
            if low == 0 and space.vanishes(atoms):
                status = "infeasible"
            history.append(Round(min(low, up), up, np.inf, len(problem.cuts)))
            break
        scale = ratio * ratio * a.sum()
        coordinates, atoms, theta = problem.weights(coordinates, atoms, scale)
        norm = space.most(space.norm(coordinates, atoms), terms / scale)
        potential = space.potential(coordinates, atoms)
        rows = worst(potential, layout, theta, keep=tol / 2)
        proved = (rows.least - potential.rounding) / norm - ROUNDING * problem.size
        if kept is None or proved > low:
            low = max(low, proved)
            kept = (coordinates, atoms, theta, norm, potential)
        history.append(Round(min(low, up), up, 1 - rows.least, len(problem.cuts)))
        if low > 0 and abs(up - low) <= tol * up:
            status = "certified"
            break
        if low > up:
            break
        fresh = problem.cuts.new(rows.patterns, rows.times, rows.kinds)
        if not fresh.any():
            break
        problem.add(rows.patterns[fresh], rows.times[fresh], rows.kinds[fresh])
    if low > up * (1 + tol):  # rounding has the better of both: nothing is sure
        low, kept = 0.0, None
    low = min(low, up)
    if status == "undecided" and low > 0:
        status = "feasible"
    if status == "infeasible":
        low = up = 0.0
    certificate = Certificate(status, low, up, ratio, problem.size, tol, history)
    b = problem.balance(a)
    if kept is None or status == "infeasible":
        nothing = np.zeros_like(coordinates), np.zeros_like(atoms)
        return Solution(*nothing, 1.0, 0.0, a, b, problem.cuts, certificate, None)
    return Solution(*kept[:4], a, b, problem.cuts, certificate, kept[4])


def check_rounds(max_rounds: int) -> None:
    """Raises ValueError if max_rounds is not a whole number of at least 1."""
    if not (isinstance(max_rounds, int | np.integer) and max_rounds >= 1):
        raise ValueError(f"max_rounds is {max_rounds}; expected a whole number of at least 1")
