"""Soft margin and binary labels: the same rows with slacks, and the margin where only some spike is wanted.

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
from tessera.tsvm.margin import ExponentialPotential, Potential, SegmentMinima, peak, segment_minima, slope_rows, worst
from tessera.tsvm.min_norm import Hull
from tessera.tsvm.problem import Problem
from tessera.tsvm.solver import check_rounds
from tessera.tsvm.spaces import ROUNDING, Space


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
        # The least row of each segment is its slack; local minima beside it save rounds.
        grown = len(problem.cuts)
        for found in (minima, worst(potential, layout, theta, keep=1e-7)):
            fresh = problem.cuts.new(found.patterns, found.times, found.kinds)
            if fresh.any():
                problem.add(found.patterns[fresh], found.times[fresh], found.kinds[fresh])
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
    z, y = _quadratic(
        features / unit, np.append(np.ones(m), np.zeros(n_d)), theta_row, sums, most,
        np.append(np.zeros(m), np.full(n_d, -most)),
    )  # fmt: skip
    a, b = _meet_bounds(z[:m] / unit**2, z[m:] / unit**2, cuts.theta, problem.factors, places, c)
    w = np.append(a, b) @ features
    # The multiplier of the theta row is theta up to its sign, which the smaller slack on the cuts tells.
    theta = min((y, -y), key=lambda value: _slack_on_cuts(features @ w + theta_row * value, places, n_d))
    return a, b, theta


def _quadratic(
    features: np.ndarray, gain: np.ndarray, balance: np.ndarray, sums: np.ndarray, most: float, least: np.ndarray
) -> tuple[np.ndarray, float]:
    """Multipliers z of the largest gain.z - |z features|^2/2 with balance.z = 0, sums z <= most, least <= z <= most,
    and the multiplier of the balance; zeros where the solver fails."""
    import piqp

    solver = piqp.DenseSolver()
    solver.settings.eps_abs, solver.settings.eps_rel, solver.settings.max_iter = 1e-9, 1e-9, 100
    solver.setup(features @ features.T, -gain, balance[None], np.zeros(1), sums, None, np.full(len(sums), most), least,
                 np.full(len(gain), most))  # fmt: skip
    solver.solve()
    z, y = np.array(solver.result.x), float(solver.result.y[0])
    return (z, y) if np.isfinite(z).all() and np.isfinite(y) else (np.zeros(len(gain)), 0.0)


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


@dataclass(frozen=True)
class BinarySolution:
    """w (N,), theta, the margin 1/|w| and its bounds for the target times last fixed, and those times (P,)."""

    w: np.ndarray
    theta: float
    low: float
    up: float
    times: np.ndarray
    history: list[float]

    def __post_init__(self) -> None:
        check_bounds(self.low, self.up)


def solve_binary(
    nulls: Layout,
    targets: Layout,
    tol: float = 1e-6,
    max_rounds: int = 30,
    c: float | None = None,
    start: np.ndarray | None = None,
) -> BinarySolution:
    """Max margin between patterns that must not fire and patterns that must, at a time of their choosing.

    theta - w.x(t) >= 1 at all t of the nulls, and w.x(t*) - theta >= 1 at one t* a target pattern. Concave-convex
    steps: fix t* where w.x is largest, solve, look again. The margin never falls; it is a local optimum. nulls,
    targets: layouts without target times. c: slack penalty per pattern; None for the hard margin. start: the first t*
    (P,) in ms, such as those of `binary_start.firing_times`; None for the peaks of the mean trace's direction between
    the classes. Raises ValueError where start is not one time inside each pattern.
    """
    if start is None:
        _, times = peak(linear_potential(targets, _mean_peak(targets) - _mean_peak(nulls)), targets)
    else:
        times = np.asarray(start, dtype=float)
        if times.shape != targets.ends.shape or not ((times > 0) & (times <= targets.ends)).all():
            raise ValueError(f"start is {times}; valid is one time in ms inside each of {len(targets.ends)} patterns")
    cuts: tuple[np.ndarray, np.ndarray] = (np.empty(0, dtype=int), np.empty(0))
    history: list[float] = []
    best = None
    for _ in range(max_rounds):
        w, theta, low, up, cuts = _fixed_times(nulls, targets, times, cuts, tol, c)
        history.append(low)
        best = BinarySolution(w, theta, low, up, times, history)
        _, moved = peak(linear_potential(targets, w), targets)
        if np.all(np.abs(moved - times) < 1e-6) or (len(history) > 1 and history[-1] <= history[-2] * (1 + tol)):
            break
        times = moved
    assert best is not None
    return best


def linear_potential(layout: Layout, w: np.ndarray) -> ExponentialPotential:
    """w.x over a layout."""
    rates = np.array([1 / layout.kernel.tau_s, 1 / layout.kernel.tau_m])
    return ExponentialPotential(layout, layout.potential_terms(w), rates)


def _mean_peak(layout: Layout) -> np.ndarray:
    """The mean over patterns of the trace at the time where its sum is largest."""
    _, times = peak(linear_potential(layout, np.ones(layout.spikes.n_neurons)), layout)
    return layout.traces(np.arange(len(times)), times)[0].mean(axis=0)


def _fixed_times(nulls, targets, times, cuts, tol, c):
    """Cutting planes over the nulls' times: w, theta, bounds on the margin, and the cuts to go on from."""
    positive = targets.traces(np.arange(len(times)), times)[0]
    patterns, at = cuts
    if not len(at):
        _, at = peak(linear_potential(nulls, positive.mean(axis=0)), nulls)
        patterns = np.arange(len(at))
        if c is None:  # a null that equals a target pattern, or is a multiple of it, shows at the same time
            patterns = np.append(patterns, np.repeat(np.arange(len(nulls.ends)), len(times)))
            at = np.append(at, np.minimum(np.tile(times, len(nulls.ends)), np.repeat(nulls.ends, len(times))))
    for _ in range(60):
        negative = nulls.traces(patterns, at)[0]
        if c is None:
            a, w, theta = _nearest(positive, negative)
            if not w.any():
                return w, 1.0, 0.0, 0.0, (patterns, at)
        else:
            a, w, theta = _separate_softly(positive, negative, patterns, c)
        norm = float(np.linalg.norm(w))
        top, where = peak(linear_potential(nulls, w), nulls)
        violated = theta - top < 1 - tol
        least = min(float((theta - top).min()), float((positive @ w - theta).min()))
        close = np.array([np.any((patterns == p) & (np.abs(at - t) < 1e-7)) for p, t in enumerate(where)])
        fresh = violated & ~close
        if not fresh.any():
            break
        patterns, at = np.append(patterns, np.flatnonzero(fresh)), np.append(at, where[fresh])
    weights = a[: len(positive)].sum(), a[len(positive) :].sum()
    # Balance the two classes exactly, then w and G are a dual point. The nearest class means are one in any case.
    if not min(weights) > 0:
        a, weights = np.ones_like(a), (len(positive), len(negative))
    ends = a[: len(positive)] @ positive / weights[0], a[len(positive) :] @ negative / weights[1]
    up = float(np.linalg.norm(ends[0] - ends[1])) / 2
    low = max(0.0, least) / norm if norm else 0.0
    return w, theta, min(low, up), up, (patterns, at)


def _nearest(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Multipliers (m,), of sum 1 in each class, w and theta of the largest margin between two sets of points; w is 0
    where their hulls meet.

    It lies along the shortest way between the hulls: the point of least norm in the hull of all differences, of which
    only those are made that come nearest along the way so far.
    """
    hull = Hull()
    pairs: list[tuple[int, int]] = []
    way = positive.mean(axis=0) - negative.mean(axis=0)
    while True:
        pair = int(np.argmin(positive @ way)), int(np.argmax(negative @ way))
        row = positive[pair[0]] - negative[pair[1]]
        if pair in pairs or (pairs and row @ way >= way @ way * (1 - 1e-10)):
            break
        pairs.append(pair)
        hull.add(row[None])
        p = hull.solve()
        way = p @ hull.rows
    i, j = np.array(pairs).T
    a = np.concatenate([np.bincount(i, p, len(positive)), np.bincount(j, p, len(negative))])
    size = np.linalg.norm(positive, axis=1).max() + np.linalg.norm(negative, axis=1).max()
    if np.linalg.norm(way) <= ROUNDING * size:
        return a, np.zeros_like(way), 1.0
    w = way * (2 / (way @ way))
    return a, w, float((positive @ w).min() + (negative @ w).max()) / 2


def _separate_softly(
    positive: np.ndarray, negative: np.ndarray, patterns: np.ndarray, c: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Multipliers (m,), w and theta with one slack a pattern, which bounds the sum of its multipliers by c."""
    features = np.vstack([positive, -negative])
    signs = np.append(np.full(len(positive), -1.0), np.ones(len(negative)))
    owner = np.append(np.arange(len(positive)), len(positive) + patterns)
    sums = (owner[None] == np.unique(owner)[:, None]).astype(float)
    unit = float(np.linalg.norm(features, axis=1).max())
    z, y = _quadratic(features / unit, np.ones(len(signs)), signs, sums, c * unit * unit, np.zeros(len(signs)))
    a = np.maximum(z, 0.0) / unit**2
    w = a @ features
    rows = features @ w
    support = (a > 1e-6 * a.max()) & (sums.T @ (sums @ a) < 0.999 * c)
    theta = float(np.mean((1 - rows[support]) * signs[support])) if support.any() else -y
    return a, w, theta
