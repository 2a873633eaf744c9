"""The maximal dynamical margin by cutting planes, with a certificate that holds in continuous time.

    minimise 1/2 |w|^2   subject to  rows h(t), slope, h+(t) >= 1  and  w.phi(t_d) = theta (1 + r_d)

Of the rows, infinitely many, a few are kept: cuts. theta and the equalities are eliminated: theta by one target's row,
the others by projection. What is left is a point of least norm in the convex hull of the cuts' features (`min_norm`),
the normalised dual, feasible whether or not the task is. It gives the upper bound; the worst row over all times gives
the lower bound and the next cuts:

    (1 - v)/|w| <= kappa* <= |w(a, b, c)| / G,        v = 1 - min of all rows, G = sum of a and c.

The upper bound is evaluated from the multipliers alone, so that it holds whatever the solver did.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import Potential, worst
from tessera.tsvm.min_norm import Hull
from tessera.tsvm.spaces import KernelSpace, LinearSpace

#: Of the largest multiplier: smaller ones are no support.
SUPPORT = 1e-6
#: |w(a, b, c)| / G below this, of the largest |phi|, is zero to rounding: Farkas' proof that the task cannot be done.
ZERO = 1e-6


@dataclass(frozen=True)
class Round:
    """One round: the bounds so far, the relative violation v (inf before any lower bound), the number of cuts."""

    low: float
    up: float
    violation: float
    cuts: int


@dataclass(frozen=True)
class Certificate:
    """kappa* in [low, up]. status: certified (gap <= tol), feasible (low > 0), infeasible, undecided.

    ratio is |w(a, b, c)| / G of the last multipliers, and size the largest |phi| of a cut: the task is infeasible where
    ratio <= 1e-6 size. Then low and up say nothing about a margin, because there is none, and are 0.
    """

    status: str
    low: float
    up: float
    ratio: float
    size: float
    history: list[Round] = field(default_factory=list)

    @property
    def gap(self) -> float:
        """(up - low)/up, relative."""
        return (self.up - self.low) / self.up if self.up > 0 else 0.0


@dataclass
class Cuts:
    """Rows sign * weight * atom + theta_part * theta >= 1, kept in parallel arrays (m,).

    kinds: h, hold or slope. weights: what each takes of its atom; theta: its coefficient of theta.
    """

    patterns: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    times: np.ndarray = field(default_factory=lambda: np.empty(0))
    kinds: np.ndarray = field(default_factory=lambda: np.empty(0, dtype="<U5"))
    weights: np.ndarray = field(default_factory=lambda: np.empty(0))
    theta: np.ndarray = field(default_factory=lambda: np.empty(0))
    segments: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))

    def extend(self, layout: Layout, patterns: np.ndarray, times: np.ndarray, kinds: np.ndarray) -> None:
        """Append rows. times (k,) of slope rows are those of their targets, of hold rows lie after theirs."""
        r, g = layout.rows_at(patterns, times)
        before, slope = kinds == "h", kinds == "slope"
        d = layout.last_targets(patterns, times, slope)
        u = np.where(before, 1.0, times - layout.targets[d])
        relaxed = np.where(before | slope, 1.0, -np.expm1(-u / layout.tau_c))
        g = np.where(before, g, 1.0)
        tau_m, tau_c = layout.kernel.tau_m, layout.tau_c
        weights = np.where(before, -1 / g, np.where(slope, tau_c, 1 / relaxed))
        held = -(1 + r - np.exp(-u / tau_m)) / relaxed
        theta = np.where(before, (1 + r) / g, np.where(slope, tau_c * layout.target_reset[d] / tau_m, held))
        segments = np.where(before, layout.segment[layout.pieces_of(patterns, times)], d)
        self.patterns = np.append(self.patterns, patterns)
        self.times = np.append(self.times, times)
        self.kinds = np.append(self.kinds, kinds)
        self.weights, self.theta = np.append(self.weights, weights), np.append(self.theta, theta)
        self.segments = np.append(self.segments, segments)

    def new(self, patterns: np.ndarray, times: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Mask of rows that are not kept yet: within 1e-9 ms of one of its kind is the same."""
        fresh = np.ones(len(times), dtype=bool)
        for kind in np.unique(kinds):
            own, new = np.flatnonzero(self.kinds == kind), np.flatnonzero(kinds == kind)
            same = self.patterns[own] == patterns[new, None]
            fresh[new] = ~(same & (np.abs(self.times[own] - times[new, None]) < 1e-9)).any(axis=1)
        return fresh

    def __len__(self) -> int:
        return len(self.times)


def first_cuts(layout: Layout, points: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Uniform times with g > 1e-3, at least 4 a pattern, slope rows, and the last hold time of each target."""
    patterns, times, kinds = [], [], []
    count = max(4, points // len(layout.spikes))
    for p, end in enumerate(layout.ends):
        t = (np.arange(count) + 0.5) * end / count
        at = np.full(count, p)
        t = t[layout.rows_at(at, t)[1] > 1e-3]
        times.append(t)
        patterns.append(np.full(len(t), p))
        kinds.append(np.full(len(t), "h"))
        own = layout.targets[layout.target_pattern == p]
        times.append(own)
        patterns.append(np.full(len(own), p))
        kinds.append(np.full(len(own), "slope"))
        if layout.hold > 0:
            last = np.minimum(own + layout.hold, np.append(own[1:], end))
            last = last[last > own]
            times.append(last)
            patterns.append(np.full(len(last), p))
            kinds.append(np.full(len(last), "hold"))
    return np.concatenate(patterns), np.concatenate(times), np.concatenate(kinds)


@dataclass(frozen=True)
class Solution:
    """Weights in the normalisation kappa |w| = 1 to rounding of the rows; w = sum_j atoms_j atom_j.

    atoms: one per equality (targets first), then one per cut. a (m,) multipliers of the cuts, b (n_d,) of the
    equalities, both of the last round. coordinates, theta, norm: of the weights with the best lower bound.
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


def solve(layout: Layout, space: LinearSpace | KernelSpace, tol: float = 1e-6, max_rounds: int = 100) -> Solution:
    """Cutting planes from the first cuts to the certificate. An infeasible task is a status, not an error."""
    problem = Problem(layout, space)
    problem.add(*first_cuts(layout))
    history: list[Round] = []
    low, up = 0.0, np.inf
    kept: tuple[np.ndarray, np.ndarray, float, float, Potential] | None = None
    status = "undecided"
    ratio = np.inf
    for _ in range(max_rounds):
        a, b = problem.multipliers()
        coordinates, atoms = problem.combine(a, b)
        ratio = space.norm(coordinates, atoms) / a.sum()
        if ratio <= ZERO * problem.size:
            status = "infeasible"
            history.append(Round(0.0, ratio, np.inf, len(problem.cuts)))
            break
        up = min(up, ratio)
        coordinates, atoms, theta = problem.weights(coordinates, atoms, ratio * ratio * a.sum())
        norm = space.norm(coordinates, atoms)
        potential = space.potential(coordinates, atoms)
        found = worst(potential, layout, theta, keep=tol / 2)
        if kept is None or found.least / norm > low:
            low = max(low, found.least / norm)
            kept = (coordinates, atoms, theta, norm, potential)
        history.append(Round(low, up, 1 - found.least, len(problem.cuts)))
        if low > 0 and up - low <= tol * up:
            status = "certified"
            break
        fresh = problem.cuts.new(found.patterns, found.times, found.kinds)
        if not fresh.any():
            break
        problem.add(found.patterns[fresh], found.times[fresh], found.kinds[fresh])
    if status == "undecided" and low > 0:
        status = "feasible"
    low, up = (0.0, 0.0) if status == "infeasible" else (low, up)
    certificate = Certificate(status, low, up, ratio, problem.size, history)
    if kept is None or status == "infeasible":
        nothing = np.zeros_like(coordinates), np.zeros_like(atoms)
        return Solution(*nothing, 1.0, 0.0, a, b, problem.cuts, certificate, None)
    return Solution(*kept[:4], a, b, problem.cuts, certificate, kept[4])


class Problem:
    """The cuts so far and the hull of their reduced features."""

    def __init__(self, layout: Layout, space: LinearSpace | KernelSpace) -> None:
        self.layout, self.space = layout, space
        self.cuts, self.hull = Cuts(), Hull()
        n_d = len(layout.targets)
        self.target_rows = space.add(layout.target_pattern, layout.targets, np.zeros(n_d, dtype=bool))
        self.features = np.empty((0, self.target_rows.shape[1]))
        self.factors = 1 + layout.target_reset
        self.pivot = int(np.argmin(self.factors))  # the target whose row gives theta
        self.size = float(np.linalg.norm(self.target_rows, axis=1).max())
        others = np.delete(np.arange(n_d), self.pivot)
        self._others = others
        pivot = self.target_rows[self.pivot] / self.factors[self.pivot]
        self.equal = self.target_rows[others] - np.outer(self.factors[others], pivot)
        u, s, vt = np.linalg.svd(self.equal, full_matrices=False)
        keep = s > 1e-12 * max(s.max(initial=0.0), 1e-300)
        self.basis = vt[keep]
        self._solve_equal = (u[:, keep] / s[keep]) @ vt[keep]  # pseudo-inverse, transposed

    def add(self, patterns: np.ndarray, times: np.ndarray, kinds: np.ndarray) -> None:
        """Append cuts and their features."""
        old = len(self.cuts)
        self.cuts.extend(self.layout, patterns, times, kinds)
        raw = self.space.add(patterns, times, kinds == "slope")
        self.size = max(self.size, float(np.linalg.norm(raw[kinds != "slope"], axis=1).max(initial=0.0)))
        self._widen(raw.shape[1])
        features = raw * self.cuts.weights[old:, None]
        self.features = np.vstack([self.features, features])
        self.hull.add(self.reduce(features, self.cuts.theta[old:]))

    def reduce(self, features: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Rows (k, n) without theta and what the equalities hold fixed: a row times w is their product."""
        reduced = features + np.outer(theta, self.target_rows[self.pivot] / self.factors[self.pivot])
        for _ in range(2):  # twice: next to a target the projection takes seven digits
            reduced = reduced - (reduced @ self.basis.T) @ self.basis
        return reduced

    def theta(self, w: np.ndarray) -> float:
        """The threshold of weights (n,) that meet the equalities."""
        return float(self.target_rows[self.pivot] @ w / self.factors[self.pivot])

    def _widen(self, n: int) -> None:
        more = n - self.features.shape[1]
        if more:
            for name in ("target_rows", "features", "equal", "basis", "_solve_equal"):
                setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, more))))

    def multipliers(self) -> tuple[np.ndarray, np.ndarray]:
        """a (m,) >= 0 of sum 1, and b (n_d,) that balances theta and makes |w(a, b)| least."""
        a = np.maximum(self.hull.solve(), 0.0)
        return a, self.balance(a)

    def balance(self, a: np.ndarray) -> np.ndarray:
        """b (n_d,) with sum_j a_j theta_j = sum_d b_d (1 + r_d), of the least |w(a, b)|."""
        b = np.zeros(len(self.factors))
        theta = a @ self.cuts.theta
        left = a @ self.features + theta / self.factors[self.pivot] * self.target_rows[self.pivot]
        b[self._others] = -self._solve_equal @ left
        b[self.pivot] = (theta - b[self._others] @ self.factors[self._others]) / self.factors[self.pivot]
        return b

    def combine(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """w(a, b) as coordinates, and as what it takes of each atom: targets, then cuts."""
        return a @ self.features + b @ self.target_rows, np.concatenate([b, a * self.cuts.weights])

    def weights(self, coordinates: np.ndarray, atoms: np.ndarray, norm2: float) -> tuple[np.ndarray, np.ndarray, float]:
        """The weights of the multipliers, scaled so that the supporting rows are 1, put on the equalities (least norm),
        and theta."""
        coordinates, atoms = coordinates / norm2, atoms / norm2
        shift = np.zeros(len(self.factors))
        shift[self._others] = -self._solve_equal @ coordinates
        shift[self.pivot] = -shift[self._others] @ self.factors[self._others] / self.factors[self.pivot]
        coordinates = coordinates + shift @ self.target_rows
        atoms = atoms.copy()
        atoms[: len(shift)] += shift
        return coordinates, atoms, self.theta(coordinates)
