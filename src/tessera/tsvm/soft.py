"""The soft margin: the same rows as the hard one, with slacks.

    minimise 1/2 |w|^2 + C (sum xi_segment + sum chi_d + sum zeta_d + sum xi+_d)
    h >= 1 - xi_segment,  slope >= 1 - chi_d,  |w.phi(t_d) - theta (1 + r_d)| <= zeta_d,  h+ >= 1 - xi+_d

In the dual every slack bounds a sum of multipliers by C, so its solution keeps few atoms. The dual on the cuts is a QP
for PIQP; its multipliers, put into the dual's bounds, bound the optimum from below, and the weights with their slacks
over all times bound it from above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tessera.tsvm.certificate import check_bounds
from tessera.tsvm.cuts import first_cuts
from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import Potential, SegmentMinima, segment_minima, slope_rows, worst
from tessera.tsvm.problem import Problem
from tessera.tsvm.solver import check_rounds
from tessera.tsvm.spaces import Space


@dataclass(frozen=True)
class SoftSolution:
    """Weights, multipliers a (m,) of the cuts and b (n_d,) of the equalities, and the optimum's bounds [low, up]."""

    coordinates: np.ndarray
    atoms: np.ndarray
    theta: float
    norm: float
    a: np.ndarray
    b: np.ndarray
    problem: Problem
    low: float
    up: float
    slack: float
    potential: Potential
    history: list[tuple[float, float, int]]

    def __post_init__(self) -> None:
        check_bounds(self.low, self.up)


def solve_soft(layout: Layout, space: Space, c: float, tol: float = 1e-4, max_rounds: int = 60) -> SoftSolution:
    """Cutting planes until (up - low)/up <= tol or no new cut is found. layout: built with exact=False.

    Raises ValueError if max_rounds is below 1.
    """
    check_rounds(max_rounds)
    problem = Problem(layout, space)
    problem.add(*first_cuts(layout))
    low = 0.0
    history: list[tuple[float, float, int]] = []
    best: SoftSolution | None = None
    for _ in range(max_rounds):
        a, b, theta = _dual(problem, c)
        coordinates, atoms = problem.combine(a, b)
        norm = space.most(space.norm(coordinates, atoms), problem.terms(a, atoms))
        potential = space.potential(coordinates, atoms)
        minima = segment_minima(potential, layout, theta)
        slack = total_slack(minima, potential, layout, theta)
        low, up = max(low, float(a.sum()) - 0.5 * norm * norm), 0.5 * norm * norm + c * slack
        if best is None or up < best.up:
            low = min(low, up)  # above it by rounding alone
            best = SoftSolution(coordinates, atoms, theta, norm, a, b, problem, low, up, slack, potential, history)
        low = min(low, best.up)
        history.append((low, best.up, len(problem.cuts)))
        if best.up - low <= tol * best.up:
            break
        # The least row of each segment is its slack; further local minima save rounds.
        grown = len(problem.cuts)
        for rows in (minima, worst(potential, layout, theta, keep=1e-7)):
            fresh = problem.cuts.new(rows.patterns, rows.times, rows.kinds)
            if fresh.any():
                problem.add(rows.patterns[fresh], rows.times[fresh], rows.kinds[fresh])
        if len(problem.cuts) == grown:
            break
    assert best is not None
    m = len(problem.cuts)
    grow = m - len(best.a)
    return SoftSolution(
        best.coordinates, np.append(best.atoms, np.zeros(grow)), best.theta, best.norm, np.append(best.a,
        np.zeros(grow)),
        best.b, problem, low, best.up, best.slack, best.potential, history,
    )  # fmt: skip


def total_slack(minima: SegmentMinima, potential: Potential, layout: Layout, theta: float) -> float:
    """Sum of all slacks, over continuous time."""
    slope = np.maximum(0.0, 1 - slope_rows(potential, layout, theta)).sum()
    at = potential.values(layout.target_pattern, layout.targets) - theta * (1 + layout.target_reset)
    return float((1 - minima.h).sum() + (1 - minima.hold).sum() + slope + np.abs(at).sum())


def _dual(problem: Problem, c: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Multipliers that meet the dual's constraints on the cuts so far, and theta."""
    cuts, n_d = problem.cuts, len(problem.layout.targets)
    features = np.vstack([problem.raw(), problem.target_rows])
    m = len(cuts)
    theta_row = np.append(cuts.theta, -problem.factors)
    labels = {(kind, s): i for i, (kind, s) in enumerate(sorted(set(zip(cuts.kinds, cuts.segments, strict=True))))}
    places = np.array([labels[key] for key in zip(cuts.kinds, cuts.segments, strict=True)])
    sums = np.zeros((len(labels), m + n_d))
    sums[places, np.arange(m)] = 1.0
    # In units in which the targets' features are of length 1, so that the tolerances mean the same at any scale.
    unit = float(np.sqrt((problem.target_rows**2).sum(axis=1).max()))
    most = c * unit * unit
    z, y = quadratic(
        features / unit, np.append(np.ones(m), np.zeros(n_d)), theta_row, sums, most,
        np.append(np.zeros(m), np.full(n_d, -most)),
    )  # fmt: skip
    a, b = _meet_bounds(z[:m] / unit**2, z[m:] / unit**2, cuts.theta, problem.factors, places, c)
    w = np.append(a, b) @ features
    # The multiplier of the theta row is theta up to its sign, chosen by the smaller slack on the cuts.
    theta = min((y, -y), key=lambda value: _slack_on_cuts(features @ w + theta_row * value, places, n_d))
    return a, b, theta


def quadratic(
    features: np.ndarray, gain: np.ndarray, balance: np.ndarray, sums: np.ndarray, most: float, least: np.ndarray
) -> tuple[np.ndarray, float]:
    """Multipliers z of the largest gain.z - |z features|^2/2 with balance.z = 0, sums z <= most, least <= z <= most,
    and the multiplier of the balance; zeros if the solver fails."""
    import piqp

    product, first = features @ features.T, None
    # Where rows repeat one another the solver may stall, but not for multipliers in other units.
    for unit in (1.0, most**0.5, most):
        solver = piqp.DenseSolver()
        solver.settings.eps_abs, solver.settings.eps_rel, solver.settings.max_iter = 1e-9, 1e-9, 100
        solver.setup(unit * product, -gain, balance[None], np.zeros(1), sums, None, np.full(len(sums), most / unit),
                     least / unit, np.full(len(gain), most / unit))  # fmt: skip
        status = solver.solve()
        z, y = unit * np.array(solver.result.x), float(solver.result.y[0])
        if np.isfinite(z).all() and np.isfinite(y):
            if status == piqp.PIQP_SOLVED:
                return z, y
            first = first or (z, y)  # what stalled may exceed the optimum by breaking a bound: no value tells the best
    return first or (np.zeros(len(gain)), 0.0)


def _meet_bounds(
    a: np.ndarray, b: np.ndarray, theta: np.ndarray, factors: np.ndarray, places: np.ndarray, c: float
) -> tuple[np.ndarray, np.ndarray]:
    """Near multipliers that meet the dual's constraints, which the solver met to its own tolerance only."""
    a, b = np.maximum(a, 0.0), np.clip(b, -c, c)
    a = a * np.minimum(1.0, c / np.maximum(np.bincount(places, a), c))[places]
    left = float(a @ theta - b @ factors)
    sign = np.sign(left)
    d = int(np.argmax((c - sign * b) * factors))  # the target that can take most of it
    reached = sign * b[d] + abs(left) / factors[d]
    shrink = c / max(c, reached)
    a, b = a * shrink, b * shrink
    b[d] = sign * reached * shrink if sign else b[d]
    return a, b


def _slack_on_cuts(rows: np.ndarray, places: np.ndarray, n_d: int) -> float:
    slack = np.zeros(places.max() + 1)
    np.maximum.at(slack, places, 1 - rows[: len(places)])
    return float(slack.sum() + np.abs(rows[len(rows) - n_d :]).sum())
