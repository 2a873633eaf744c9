"""Soft margin and binary labels: the same rows with slacks, and the margin where only some spike is wanted.

    minimise 1/2 |w|^2 + C (sum xi_segment + sum chi_d + sum zeta_d + sum xi+_d)
    h >= 1 - xi_segment,  slope >= 1 - chi_d,  |w.phi(t_d) - theta (1 + r_d)| <= zeta_d,  h+ >= 1 - xi+_d

In the dual every slack bounds a sum of multipliers by C, so its solution keeps few atoms. The dual on the cuts is a QP
for PIQP; its value bounds the optimum from below, and the weights with their slacks over all times bound it from above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import ExponentialPotential, Potential, SegmentMinima, peak, segment_minima, slope_rows, worst
from tessera.tsvm.solver import Problem, first_cuts
from tessera.tsvm.spaces import KernelSpace, LinearSpace


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


def solve_soft(
    layout: Layout, space: LinearSpace | KernelSpace, c: float, tol: float = 1e-4, max_rounds: int = 60
) -> SoftSolution:
    """Cutting planes until (up - low)/up <= tol or no new cut is found. layout: built with exact=False."""
    problem = Problem(layout, space)
    problem.add(*first_cuts(layout))
    low = 0.0
    history: list[tuple[float, float, int]] = []
    best: SoftSolution | None = None
    for _ in range(max_rounds):
        a, b, theta, value = _dual(problem, c)
        coordinates, atoms = problem.combine(a, b)
        norm = space.norm(coordinates, atoms)
        potential = space.potential(coordinates, atoms)
        minima = segment_minima(potential, layout, theta)
        slack = total_slack(minima, potential, layout, theta)
        low, up = max(low, value), 0.5 * norm * norm + c * slack
        if best is None or up < best.up:
            best = SoftSolution(coordinates, atoms, theta, norm, a, b, problem, low, up, slack, potential, history)
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


def _dual(problem: Problem, c: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Multipliers, theta and the dual's value on the cuts so far."""
    import piqp

    cuts, n_d = problem.cuts, len(problem.layout.targets)
    features = np.vstack([problem.features, problem.target_rows])
    m = len(cuts)
    theta_row = np.append(cuts.theta, -problem.factors)
    labels = {(kind, s): i for i, (kind, s) in enumerate(sorted(set(zip(cuts.kinds, cuts.segments, strict=True))))}
    sums = np.zeros((len(labels), m + n_d))
    for j, key in enumerate(zip(cuts.kinds, cuts.segments, strict=True)):
        sums[labels[key], j] = 1.0
    gain = np.append(np.ones(m), np.zeros(n_d))
    solver = piqp.DenseSolver()
    solver.settings.eps_abs, solver.settings.eps_rel, solver.settings.max_iter = 1e-8, 1e-8, 100
    solver.setup(
        features @ features.T, -gain, theta_row[None], np.zeros(1), sums, None, np.full(len(labels), c),
        np.append(np.zeros(m), np.full(n_d, -c)), np.full(m + n_d, c),
    )  # fmt: skip
    solver.solve()
    z = np.array(solver.result.x)
    a, b = np.clip(z[:m], 0.0, None), z[m:]
    w = a @ problem.features + b @ problem.target_rows
    # The multiplier of the theta row is theta up to its sign, which the smaller slack on the cuts tells.
    y = float(solver.result.y[0])
    theta = min((y, -y), key=lambda value: _slack_on_cuts(problem, labels, w, value))
    return a, b, theta, float(a.sum() - 0.5 * w @ w)


def _slack_on_cuts(problem: Problem, labels: dict, w: np.ndarray, theta: float) -> float:
    cuts = problem.cuts
    rows = problem.features @ w + cuts.theta * theta
    slack = np.zeros(len(labels))
    places = [labels[key] for key in zip(cuts.kinds, cuts.segments, strict=True)]
    np.maximum.at(slack, places, 1 - rows)
    return float(slack.sum() + np.abs(problem.target_rows @ w - theta * problem.factors).sum())


@dataclass(frozen=True)
class BinarySolution:
    """w (N,), theta, the margin 1/|w| and its bounds for the target times last fixed, and those times (P,)."""

    w: np.ndarray
    theta: float
    low: float
    up: float
    times: np.ndarray
    history: list[float]


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
    import piqp

    positive = targets.traces(np.arange(len(times)), times)[0]
    patterns, at = cuts
    if not len(at):
        _, at = peak(linear_potential(nulls, positive.mean(axis=0)), nulls)
        patterns = np.arange(len(at))
    for _ in range(60):
        negative = nulls.traces(patterns, at)[0]
        features = np.vstack([positive, -negative])
        signs = np.append(np.full(len(positive), -1.0), np.ones(len(negative)))
        # One slack a pattern bounds the sum of its multipliers by c.
        owner = np.append(np.arange(len(positive)), len(positive) + patterns)
        sums = (owner[None] == np.unique(owner)[:, None]).astype(float)
        m = len(signs)
        solver = piqp.DenseSolver()
        solver.settings.eps_abs, solver.settings.eps_rel, solver.settings.max_iter = 1e-8, 1e-8, 100
        bound = 1e8 if c is None else c
        solver.setup(features @ features.T, -np.ones(m), signs[None], np.zeros(1), sums, None,
                     np.full(len(sums), bound), np.zeros(m), np.full(m, bound))  # fmt: skip
        solver.solve()
        a = np.clip(np.array(solver.result.x), 0.0, None)
        w = a @ features
        norm = float(np.linalg.norm(w))
        if c is None and norm < 1e-12:
            return w, 1.0, 0.0, 0.0, (patterns, at)
        rows = features @ w
        support = (a > 1e-6 * a.max()) & (sums.T @ (sums @ a) < 0.999 * bound)
        theta = float(np.mean((1 - rows[support]) * signs[support])) if support.any() else float(
            -solver.result.y[0]
        )  # fmt: skip
        top, where = peak(linear_potential(nulls, w), nulls)
        violated = theta - top < 1 - tol
        least = min(float((theta - top).min()), float((rows[: len(positive)] - theta).min()))
        close = np.array([np.any((patterns == p) & (np.abs(at - t) < 1e-7)) for p, t in enumerate(where)])
        fresh = violated & ~close
        if not fresh.any():
            break
        patterns, at = np.append(patterns, np.flatnonzero(fresh)), np.append(at, where[fresh])
    positive_sum, negative_sum = a[: len(positive)].sum(), a[len(positive) :].sum()
    up = float("inf")
    if min(positive_sum, negative_sum) > 0:  # balance the two classes exactly, then w and G are a dual point
        balanced = np.append(a[: len(positive)] / positive_sum, a[len(positive) :] / negative_sum)
        up = float(np.linalg.norm(balanced @ features)) / 2
    return w, theta, max(0.0, least) / norm if norm else 0.0, up, (patterns, at)
