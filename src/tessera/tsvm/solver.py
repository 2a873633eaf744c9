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

from dataclasses import dataclass, field

import numpy as np

from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import Potential, worst
from tessera.tsvm.min_norm import Hull
from tessera.tsvm.spaces import ROUNDING, Space

#: Of the largest multiplier: smaller ones are no support.
SUPPORT = 1e-6
#: |w(a, b, c)| / G below this, of what it is rounded by, is zero: Farkas' proof that the task cannot be done.
ZERO = 10.0
STATUSES = ("certified", "feasible", "infeasible", "undecided", "soft")


@dataclass(frozen=True)
class Round:
    """One round: the bounds so far, the relative violation v (inf before any lower bound), the number of cuts."""

    low: float
    up: float
    violation: float
    cuts: int


@dataclass(frozen=True)
class Certificate:
    """kappa* in [low, up]. status: certified (gap <= tol), feasible (low > 0), infeasible, undecided; of a soft fit,
    "soft" and the bounds of its objective.

    ratio is |w(a, b, c)| / G of the last multipliers, and size the largest |phi| of a target or cut: the task is
    infeasible if w(a, b, c) is 0 to rounding. Then low and up say nothing about a margin, because there is none, and
    are 0. Whatever the solver did, 0 <= low <= up < inf, and the status agrees with them; AssertionError otherwise.
    """

    status: str
    low: float
    up: float
    ratio: float
    size: float
    tol: float
    history: list[Round] = field(default_factory=list)

    def __post_init__(self) -> None:
        holds = self.status in STATUSES and np.isfinite(self.ratio) and 0 <= self.low <= self.up < np.inf
        agrees = {
            "certified": self.low > 0 and self.gap <= self.tol,
            "feasible": self.low > 0,
            "infeasible": self.up == 0,
            "undecided": self.low == 0,
        }
        if not (holds and agrees.get(self.status, True)):
            raise AssertionError(f"{self.status} contradicts the bounds [{self.low}, {self.up}], ratio {self.ratio}")

    @property
    def gap(self) -> float:
        """(up - low)/up, relative."""
        return (self.up - self.low) / self.up if self.up > 0 else 0.0


@dataclass
class Cuts:
    """Rows weight * phi + theta_part * theta >= 1, kept in parallel arrays (m,).

    kinds: h, hold or slope. weights: what each takes of phi(x(t)) or of its derivative; theta: its coefficient of
    theta. A row that a target relaxes is the same as weight * (phi - phi(x(t_d))) + rest * theta, because w.phi = theta
    (1 + r_d) there: two large numbers less. origins: that target, -1 if there is none and rest = theta.
    """

    patterns: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    times: np.ndarray = field(default_factory=lambda: np.empty(0))
    kinds: np.ndarray = field(default_factory=lambda: np.empty(0, dtype="<U5"))
    weights: np.ndarray = field(default_factory=lambda: np.empty(0))
    theta: np.ndarray = field(default_factory=lambda: np.empty(0))
    segments: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    origins: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    rest: np.ndarray = field(default_factory=lambda: np.empty(0))

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
        pieces = layout.pieces_of(patterns, times)
        segments = np.where(before, layout.segment[pieces], d)
        origins = np.where(before, layout.next_targets[pieces], np.where(slope, -1, d))
        # r decays from one target to the next: r(t) - r_d before a target, r_d - r(t) after it, over g.
        ahead, r_d = (layout.targets[origins] - times) / tau_m, layout.target_reset[origins]
        fallen = np.where(ahead < 1, r_d * np.expm1(np.minimum(ahead, 1.0)), r - r_d)
        anchored = np.where(before, fallen / g, -fallen / relaxed)
        self.patterns = np.append(self.patterns, patterns)
        self.times = np.append(self.times, times)
        self.kinds = np.append(self.kinds, kinds)
        self.weights, self.theta = np.append(self.weights, weights), np.append(self.theta, theta)
        self.segments = np.append(self.segments, segments)
        self.origins = np.append(self.origins, origins)
        self.rest = np.append(self.rest, np.where(origins >= 0, anchored, theta))

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
    """Uniform times with g > 1e-3, at least 4 a pattern, slope rows, and the last hold time of each target.

    And, if they are at most `points`, the targets' times in all patterns: there a pattern that is not to fire meets one
    that is, and a proof that both cannot be had needs exactly this time.
    """
    patterns, times, kinds = [], [], []
    count = max(4, points // len(layout.spikes))
    shared = np.unique(layout.targets)
    if len(shared) * len(layout.spikes) > points:
        shared = shared[:0]
    for p, end in enumerate(layout.ends):
        own = layout.targets[layout.target_pattern == p]
        t = np.append((np.arange(count) + 0.5) * end / count, np.setdiff1d(shared[shared <= end], own))
        at = np.full(len(t), p)
        t = t[layout.rows_at(at, t)[1] > 1e-3]
        times.append(t)
        patterns.append(np.full(len(t), p))
        kinds.append(np.full(len(t), "h"))
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
            history.append(Round(low, up, np.inf, len(problem.cuts)))
            break
        scale = ratio * ratio * a.sum()
        coordinates, atoms, theta = problem.weights(coordinates, atoms, scale)
        norm = space.most(space.norm(coordinates, atoms), terms / scale)
        potential = space.potential(coordinates, atoms)
        found = worst(potential, layout, theta, keep=tol / 2)
        proved = found.least / norm - ROUNDING * problem.size
        if kept is None or proved > low:
            low = max(low, proved)
            kept = (coordinates, atoms, theta, norm, potential)
        if low > up * (1 + tol):  # rounding has the better of both bounds
            low, kept = 0.0, None
            break
        low = min(low, up)
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


class Problem:
    """The cuts so far and the hull of their reduced features."""

    def __init__(self, layout: Layout, space: Space) -> None:
        self.layout, self.space = layout, space
        self.cuts, self.hull = Cuts(), Hull()
        n_d = len(layout.targets)
        self.target_rows = space.add(layout.target_pattern, layout.targets, np.zeros(n_d, dtype=bool), np.full(n_d, -1))
        self.features = np.empty((0, self.target_rows.shape[1]))
        self._lengths = np.empty(0)
        self.factors = 1 + layout.target_reset
        self.pivot = int(np.argmin(self.factors))  # the target whose row gives theta
        self.size = float(np.linalg.norm(self.target_rows, axis=1).max())
        others = np.delete(np.arange(n_d), self.pivot)
        self._others = others
        self._per_theta = self.target_rows[self.pivot] / self.factors[self.pivot]
        self.equal = self.target_rows[others] - np.outer(self.factors[others], self._per_theta)
        u, s, vt = np.linalg.svd(self.equal, full_matrices=False)
        keep = s > 1e-12 * self.size
        self.basis = np.where(self.target_rows.any(axis=0), vt[keep], 0.0)
        self._solve_equal = (u[:, keep] / s[keep]) @ vt[keep]  # pseudo-inverse, transposed

    def add(self, patterns: np.ndarray, times: np.ndarray, kinds: np.ndarray) -> None:
        """Append cuts and their features: of each row, its atom times its weight."""
        old = len(self.cuts)
        self.cuts.extend(self.layout, patterns, times, kinds)
        atoms, features, reduced, lengths = self._rows(self.cuts, old)
        self.size = max(self.size, float(np.linalg.norm(atoms[kinds != "slope"], axis=1).max(initial=0.0)))
        self.features = np.vstack([self.features, features])
        self._lengths = np.append(self._lengths, lengths)
        self.hull.add(reduced)

    def reduced(self, cuts: Cuts) -> np.ndarray:
        """Rows (k, n) of cuts that are not kept, without theta and what the equalities hold fixed."""
        return self._rows(cuts, 0)[2]

    def _rows(self, cuts: Cuts, old: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of the cuts from `old` on: atoms, features, reduced features (k, n), and what these were rounded from (k,).

        A reduced feature times w is the row, for theta is w's too and w is orthogonal to the basis.
        """
        atoms = self.space.add(cuts.patterns[old:], cuts.times[old:], cuts.kinds[old:] == "slope", cuts.origins[old:])
        self._widen(atoms.shape[1])
        features = atoms * cuts.weights[old:, None]
        shift = np.outer(cuts.rest[old:], self._per_theta)
        reduced = features + shift
        for _ in range(2):  # once more for the digits that the first pass leaves
            reduced = reduced - (reduced @ self.basis.T) @ self.basis
        lengths = np.linalg.norm(features, axis=1) + np.linalg.norm(shift, axis=1)
        return atoms, features, reduced, lengths

    def theta(self, w: np.ndarray) -> float:
        """The threshold of weights (n,) that meet the equalities."""
        return float(self._per_theta @ w)

    def _widen(self, n: int) -> None:
        more = n - self.features.shape[1]
        if more:
            for name in ("target_rows", "features", "equal", "basis", "_solve_equal"):
                setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, more))))
            self._per_theta = np.pad(self._per_theta, (0, more))

    def multipliers(self) -> np.ndarray:
        """a (m,) >= 0 of sum 1 that makes |w(a, b)| least."""
        return np.maximum(self.hull.solve(), 0.0)

    def terms(self, a: np.ndarray, atoms: np.ndarray) -> float:
        """Summed lengths of the terms of w(a, b), which takes `atoms` of the targets and of the cuts; a short row is
        the difference of long ones."""
        of_targets = np.abs(atoms[: len(self.factors)]) @ np.linalg.norm(self.target_rows, axis=1)
        return float(a @ np.maximum(self._lengths, self.size) + of_targets)

    def _balance(self, a: np.ndarray) -> np.ndarray:
        """What w(a, b) takes of the targets' atoms (n_d,), such that theta is balanced and |w(a, b)| least."""
        b = np.zeros(len(self.factors))
        theta = a @ self.cuts.rest[: len(a)]
        b[self._others] = -self._solve_equal @ (a @ self.features[: len(a)] + theta * self._per_theta)
        b[self.pivot] = (theta - b[self._others] @ self.factors[self._others]) / self.factors[self.pivot]
        return b

    def balance(self, a: np.ndarray) -> np.ndarray:
        """b (n_d,) with sum_j a_j theta_j = sum_d b_d (1 + r_d), of the least |w(a, b)|."""
        return self._balance(a) - self._of_origins(a)

    def _of_origins(self, a: np.ndarray) -> np.ndarray:
        """What cuts of multipliers a take of the targets that are their origins (n_d,)."""
        moved = self.cuts.origins[: len(a)] >= 0
        return np.bincount(
            self.cuts.origins[: len(a)][moved], (a * self.cuts.weights[: len(a)])[moved], len(self.factors)
        )

    def balanced(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """w(a, b) of the balanced b as coordinates, and as what it takes of each atom: targets, then cuts."""
        return a @ self.hull.rows, np.concatenate([self._balance(a), a * self.cuts.weights])

    def combine(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """w(a, b) of any b, likewise."""
        of_targets = b + self._of_origins(a)
        coordinates = a @ self.features + of_targets @ self.target_rows
        return coordinates, np.concatenate([of_targets, a * self.cuts.weights])

    def raw(self) -> np.ndarray:
        """What the cuts take of phi itself (m, n), not of its difference from an origin."""
        rows, moved = self.features.copy(), self.cuts.origins >= 0
        rows[moved] += self.cuts.weights[moved, None] * self.target_rows[self.cuts.origins[moved]]
        return rows

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
