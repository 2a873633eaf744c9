"""The cuts as points: theta and the equalities are eliminated, what is left is a convex hull.

theta is a target's row of w, and w is orthogonal to what the other targets' equalities leave of it. So a row of (w,
theta) becomes a row of w alone, and the multipliers b of the equalities follow from those of the cuts.
"""

from __future__ import annotations

import numpy as np

from tessera.tsvm.cuts import Cuts
from tessera.tsvm.layout import Layout
from tessera.tsvm.min_norm import Hull
from tessera.tsvm.spaces import Space


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
        self._target_lengths = np.linalg.norm(self.target_rows, axis=1)
        self.size = float(self._target_lengths.max())
        others = np.delete(np.arange(n_d), self.pivot)
        self._others = others
        self._per_theta = self.target_rows[self.pivot] / self.factors[self.pivot]
        self._theta_length = float(np.linalg.norm(self._per_theta))
        self.equal = self.target_rows[others] - np.outer(self.factors[others], self._per_theta)
        u, s, vt = np.linalg.svd(self.equal, full_matrices=False)
        keep = s > 1e-12 * self.size
        self.basis = np.where(self.target_rows.any(axis=0), vt[keep], 0.0)
        self._solve_equal = (u[:, keep] / s[keep]) @ vt[keep]  # pseudo-inverse, transposed

    def add(self, patterns: np.ndarray, times: np.ndarray, kinds: np.ndarray) -> None:
        """Append cuts and their features: of each row, its atom times its weight."""
        old = len(self.cuts)
        self.cuts.extend(self.layout, patterns, times, kinds)
        features, reduced, lengths = self._rows(self.cuts, old)
        points = np.where(kinds == "slope", 0.0, lengths / np.abs(self.cuts.weights[old:]))
        self.size = max(self.size, float(points.max(initial=0.0)))
        self.features = np.vstack([self.features, features])
        self._lengths = np.append(self._lengths, lengths + np.abs(self.cuts.rest[old:]) * self._theta_length)
        self.hull.add(reduced)

    def reduced(self, cuts: Cuts) -> np.ndarray:
        """Rows (k, n) of cuts that are not kept, without theta and what the equalities hold fixed."""
        return self._rows(cuts, 0)[1]

    def _rows(self, cuts: Cuts, old: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the cuts from `old` on: features and reduced features (k, n), and the features' lengths (k,).

        A reduced feature times w is the row, for theta is w's too and w is orthogonal to the basis.
        """
        atoms = self.space.add(cuts.patterns[old:], cuts.times[old:], cuts.kinds[old:] == "slope", cuts.origins[old:])
        self._widen(atoms.shape[1])
        features = atoms * cuts.weights[old:, None]
        reduced = features + np.outer(cuts.rest[old:], self._per_theta)
        for _ in range(2):  # once more for the digits that the first pass leaves
            reduced = reduced - (reduced @ self.basis.T) @ self.basis
        return features, reduced, np.sqrt(np.einsum("ij,ij->i", features, features))

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
        of_targets = np.abs(atoms[: len(self.factors)]) @ self._target_lengths
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
