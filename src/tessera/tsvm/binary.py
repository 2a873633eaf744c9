"""Binary labels: the largest margin between patterns to fire on, at a time of the neuron's choosing, and the others.

The weights come from concave-convex steps: fix the times to fire at, solve, choose the times again. With the times
fixed it is the margin between two sets of traces, of which those of the silent patterns are cuts. `binary_start` finds
times to start from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tessera.tsvm.certificate import check_bounds
from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import ExponentialPotential, peak
from tessera.tsvm.min_norm import Hull
from tessera.tsvm.soft import quadratic
from tessera.tsvm.spaces import ROUNDING


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


def solve(
    nulls: Layout,
    targets: Layout,
    tol: float = 1e-6,
    max_rounds: int = 30,
    c: float | None = None,
    start: np.ndarray | None = None,
) -> BinarySolution:
    """Largest margin between patterns that must not fire and patterns that must, at a time of their choosing.

    theta - w.x(t) >= 1 at all t of the nulls, and w.x(t*) - theta >= 1 at one t* per target pattern. Concave-convex
    steps: fix t* where w.x is largest, solve, repeat. The margin never falls; the result is a local optimum. nulls,
    targets: layouts without target times. c: slack penalty per pattern; None for the hard margin. start: the first t*
    (P,) in ms, such as those of `binary_start.firing_times`; None for the peaks along the difference between the
    classes' mean traces. Raises ValueError unless start has one time inside each pattern.
    """
    if start is None:
        _, times = peak(linear_potential(targets, _mean_peak(targets) - _mean_peak(nulls)), targets)
    else:
        times = np.asarray(start, dtype=float)
        if times.shape != targets.ends.shape or not ((times > 0) & (times <= targets.ends)).all():
            raise ValueError(f"start is {times}; expected one time in ms inside each of {len(targets.ends)} patterns")
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
    """Cutting planes over the nulls' times: w, theta, bounds on the margin, and the cuts to continue from."""
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
        least = min(float((theta - top).min()), float((positive @ w - theta).min()))
        # A null inside its margin pays for its highest cut: another one changes the program only if it is higher by
        # more than the tolerance. Comparing times is not enough: they move with the last digits of w.
        known = np.full(len(top), -np.inf)
        np.maximum.at(known, patterns, negative @ w)
        fresh = (theta - top < 1 - tol) & (top > known + tol)
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
    if their hulls meet.

    w lies along the shortest way between the hulls: the point of least norm in the hull of all differences. Only those
    differences are formed that are nearest along the way so far.
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
    """Multipliers (m,), w and theta with one slack per pattern, which bounds the sum of its multipliers by c."""
    features = np.vstack([positive, -negative])
    signs = np.append(np.full(len(positive), -1.0), np.ones(len(negative)))
    owner = np.append(np.arange(len(positive)), len(positive) + patterns)
    sums = (owner[None] == np.unique(owner)[:, None]).astype(float)
    unit = float(np.linalg.norm(features, axis=1).max())
    z, y = quadratic(features / unit, np.ones(len(signs)), signs, sums, c * unit * unit, np.zeros(len(signs)))
    a = np.maximum(z, 0.0) / unit**2
    w = a @ features
    rows = features @ w
    support = (a > 1e-6 * a.max()) & (sums.T @ (sums @ a) < 0.999 * c)
    theta = float(np.mean((1 - rows[support]) * signs[support])) if support.any() else -y
    return a, w, theta
