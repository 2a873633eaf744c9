"""Feature spaces as coordinates: atoms become rows, products become dot products.

An atom is phi(x(t)) - phi(x(origin)), or the derivative d/dt phi(x(t)). The origin is a target near t or rest, x = 0;
next to a target only the difference keeps its digits. Linear and polynomial kernels have explicit features. A Gaussian
kernel gets its coordinates from a Cholesky factor of the atoms' Gram matrix that grows by one row per atom.
"""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
from scipy.linalg import solve_triangular

from tessera.tsvm.gaussian import GaussianPotential
from tessera.tsvm.kernels import (
    Branches,
    Expansion,
    Gaussian,
    Kernel,
    Linear,
    PolynomialKernel,
    branches_of,
    check_afferents,
)
from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import ExponentialPotential, Potential

#: An atom whose square distance from the span of earlier atoms is below this, of its own square, adds no dimension.
DEPENDENT = 1e-14

#: Of the summed lengths of its terms, a sum of vectors is rounded to this.
ROUNDING = 2e-14
#: Likewise, where only products are known, which round like squares.
GRAM_ROUNDING = 3e-8


class Space(Protocol):
    """A feature space."""

    def add(self, patterns: np.ndarray, times: np.ndarray, is_slope: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Coordinates (M, n) of M new atoms; targets (M,): the index of the target that is the origin, -1 for rest."""
        ...

    def norm(self, coordinates: np.ndarray, atoms: np.ndarray) -> float:
        """|w|, of w given by coordinates (n,) and by what it takes of every atom added so far."""
        ...

    def most(self, norm: float, terms: float) -> float:
        """What |w| may be at most if it comes out as norm, from terms whose lengths add up to `terms`."""
        ...

    def vanishes(self, atoms: np.ndarray) -> bool:
        """Whether a w that comes out as 0 is proved to be 0."""
        ...

    def potential(self, coordinates: np.ndarray, atoms: np.ndarray, layout: Layout | None = None) -> Potential:
        """w.phi over a layout, by default the one of the atoms."""
        ...

    def expansion(self, atoms: np.ndarray) -> Expansion | None:
        """w as values and derivatives at its atoms; None for the linear kernel, whose w is its coordinates."""
        ...


def space(layout: Layout, kernel: Kernel) -> Space:
    """The feature space of a kernel over the layout's patterns."""
    check_afferents(kernel, layout.spikes.n_neurons)
    if isinstance(kernel, Linear):
        return LinearSpace(layout)
    if branches_of(kernel, layout.spikes.n_neurons):
        return GaussianSpace(layout, cast(Gaussian | Branches, kernel))
    return PolynomialSpace(layout, cast(PolynomialKernel, kernel))


class _Explicit:
    """A space whose coordinates are the features themselves."""

    def norm(self, coordinates: np.ndarray, atoms: np.ndarray) -> float:
        return float(np.linalg.norm(coordinates))

    def most(self, norm: float, terms: float) -> float:
        return norm + ROUNDING * terms

    def vanishes(self, atoms: np.ndarray) -> bool:
        return True


class LinearSpace(_Explicit):
    """phi(x) = x. Atoms are not kept: w is a vector."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def add(self, patterns: np.ndarray, times: np.ndarray, is_slope: np.ndarray, targets: np.ndarray) -> np.ndarray:
        rows = self.layout.steps(patterns, times, _origins(self.layout, targets))
        if is_slope.any():
            rows[is_slope] = self.layout.traces(patterns[is_slope], times[is_slope])[1]
        return rows

    def potential(self, coordinates: np.ndarray, atoms: np.ndarray, layout: Layout | None = None) -> Potential:
        layout = layout or self.layout
        kernel = layout.kernel
        return ExponentialPotential(
            layout, layout.potential_terms(coordinates), np.array([1 / kernel.tau_s, 1 / kernel.tau_m])
        )

    def expansion(self, atoms: np.ndarray) -> Expansion | None:
        return None


class _Atoms:
    """The atoms added so far: x, and the step from the origin or, of derivatives, the velocity."""

    def __init__(self, layout: Layout) -> None:
        n = layout.spikes.n_neurons
        self.layout = layout
        self._x, self._step = np.empty((0, n)), np.empty((0, n))
        self._is_slope, self._targets = np.empty(0, dtype=bool), np.empty(0, dtype=int)

    def _append(self, patterns, times, is_slope, targets) -> tuple[np.ndarray, np.ndarray]:
        """Origins and steps of M new atoms, or their points and velocities; each (M, N)."""
        x, u = self.layout.traces(patterns, times)
        step = np.where(is_slope[:, None], u, self.layout.steps(patterns, times, _origins(self.layout, targets)))
        self._x, self._step = np.vstack([self._x, x]), np.vstack([self._step, step])
        self._is_slope, self._targets = np.append(self._is_slope, is_slope), np.append(self._targets, targets)
        return self._starts()[len(self._x) - len(x) :], step

    def _starts(self) -> np.ndarray:
        """Where the steps begin; of derivatives, the points."""
        rest = np.zeros((1, self._x.shape[1]))
        origins = np.vstack([self._x, rest])[self._targets]  # targets are the first atoms of all
        return np.where(self._is_slope[:, None], self._x, origins)

    def expansion(self, atoms: np.ndarray) -> Expansion:
        values, derivs = np.where(self._is_slope, 0.0, atoms), np.where(self._is_slope, atoms, 0.0)
        moved = self._targets >= 0
        np.subtract.at(values, self._targets[moved], values[moved])
        used = (values != 0) | (derivs != 0)
        return Expansion(self._x[used], self._step[used], values[used], derivs[used])


class PolynomialSpace(_Explicit, _Atoms):
    """The monomials of a polynomial, branch or interaction kernel."""

    def __init__(self, layout: Layout, kernel: PolynomialKernel) -> None:
        super().__init__(layout)
        self._features = kernel.monomials(layout.spikes.n_neurons)

    def add(self, patterns: np.ndarray, times: np.ndarray, is_slope: np.ndarray, targets: np.ndarray) -> np.ndarray:
        x, step = self._append(patterns, times, is_slope, targets)
        rows = self._features.steps(x, step)
        if is_slope.any():
            rows[is_slope] = self._features.slopes(x[is_slope], step[is_slope])
        return rows

    def potential(self, coordinates: np.ndarray, atoms: np.ndarray, layout: Layout | None = None) -> Potential:
        return _polynomial_potential(self._features, coordinates, layout or self.layout)


class GaussianSpace(_Atoms):
    """phi of a Gaussian kernel or of a sum of them; coordinates are those of the atoms' growing Cholesky factor."""

    def __init__(self, layout: Layout, kernel: Gaussian | Branches) -> None:
        super().__init__(layout)
        self.kernel = kernel
        self._gram, self._factor, self._pivots = np.empty((0, 0)), np.empty((0, 0)), np.empty(0, dtype=int)

    def add(self, patterns: np.ndarray, times: np.ndarray, is_slope: np.ndarray, targets: np.ndarray) -> np.ndarray:
        old = len(self._x)
        self._append(patterns, times, is_slope, targets)
        x = self._starts()
        fresh = self._products(x, np.arange(old, len(x)))
        gram = np.empty((len(x), len(x)))
        gram[:old, :old], gram[:, old:], gram[old:, :old] = self._gram, fresh, fresh[:old].T
        self._gram = gram
        atoms = np.column_stack([self._is_slope, x, self._step])
        for i in range(old, len(x)):
            same = np.flatnonzero((atoms[:i] == atoms[i]).all(axis=1))
            if len(same):  # patterns may be equal; then rounding must not make them differ
                self._factor = np.vstack([self._factor, self._factor[same[0]]])
                continue
            k = len(self._pivots)
            triangle, products = self._factor[self._pivots], gram[i, self._pivots]
            row = np.zeros(k)
            for _ in range(2):  # once more for the digits that the first pass leaves
                row += solve_triangular(triangle, products - triangle @ row, lower=True) if k else 0.0
            left = gram[i, i] - row @ row
            if left > DEPENDENT * gram[i, i]:
                self._factor = np.pad(self._factor, ((0, 0), (0, 1)))
                row, self._pivots = np.append(row, np.sqrt(left)), np.append(self._pivots, i)
            self._factor = np.vstack([self._factor, row])
        return self._factor[old:]

    def _products(self, x: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Gram matrix of all atoms (M, new)."""
        step, slope, kernel = self._step, self._is_slope, self.kernel
        gram = np.empty((len(x), len(new)))
        a, b, c, d = np.flatnonzero(~slope), np.flatnonzero(slope), ~slope[new], slope[new]
        steps, slopes = new[c], new[d]
        gram[np.ix_(a, c)] = kernel.steps(x[a], step[a], x[steps], step[steps])
        gram[np.ix_(a, d)] = kernel.step_slopes(x[a], step[a], x[slopes], step[slopes])
        gram[np.ix_(b, c)] = kernel.step_slopes(x[steps], step[steps], x[b], step[b]).T
        gram[np.ix_(b, d)] = kernel.mixed(x[b], step[b], x[slopes], step[slopes])
        return gram

    def norm(self, coordinates: np.ndarray, atoms: np.ndarray) -> float:
        return float(np.sqrt(max(atoms @ self._gram @ atoms, 0.0)))

    def most(self, norm: float, terms: float) -> float:
        return float(np.hypot(norm, GRAM_ROUNDING * terms))

    def vanishes(self, atoms: np.ndarray) -> bool:
        """Whether the atoms cancel by themselves: what w takes of any point of a branch adds up to 0.

        phi of different points are independent, so w = 0 in no other way.
        """
        w = self.expansion(atoms)
        most, left = np.abs(w.values).sum(), np.abs(w.derivs).sum()
        branches = branches_of(self.kernel, self.layout.spikes.n_neurons)
        for group in branches[1] if branches else ():
            points, which = np.unique(w.x[:, group], axis=0, return_inverse=True)
            sums = np.bincount(which.ravel(), w.values)
            left += np.abs(sums[points.any(axis=1)]).sum()  # at rest phi is 0
        return bool(left <= 1e-10 * most)

    def potential(self, coordinates: np.ndarray, atoms: np.ndarray, layout: Layout | None = None) -> Potential:
        return potential_of(self.kernel, self.expansion(atoms), layout or self.layout, self.norm(coordinates, atoms))


def _origins(layout: Layout, targets: np.ndarray) -> np.ndarray:
    """Times in ms of the targets, 0 for -1: x = 0 at the start of a pattern."""
    return np.append(layout.targets, 0.0)[targets]


def potential_of(kernel: Kernel, w: Expansion, layout: Layout, norm: float) -> Potential:
    """w.phi over a layout, which need not be the one that w was trained on."""
    gaussian = branches_of(kernel, layout.spikes.n_neurons)
    if gaussian:
        slow, fast = _parts(layout)
        return GaussianPotential(layout, *gaussian, w, norm, slow, fast)
    features = cast(PolynomialKernel, kernel).monomials(layout.spikes.n_neurons)
    coordinates = w.values @ features.steps(np.zeros_like(w.x), w.x) + w.derivs @ features.slopes(w.x, w.u)
    return _polynomial_potential(features, coordinates, layout)


def _parts(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Slow and fast part of the traces (E, N) at the start of each piece."""
    slow, fast = layout.all_traces()
    unit = layout.kernel.v0 * layout.scale
    return slow * unit, fast * -unit


def _polynomial_potential(features, coordinates: np.ndarray, layout: Layout) -> ExponentialPotential:
    rates = np.array(features.powers()) @ np.array([1 / layout.kernel.tau_m, 1 / layout.kernel.tau_s])
    terms = features.terms(coordinates, *_parts(layout))
    # 1/tau_m has a place even where the kernel does not use it: the reset decays with it.
    rates, terms = np.append(rates, 1 / layout.kernel.tau_m), np.hstack([terms, np.zeros((len(terms), 1))])
    order = np.argsort(-rates, kind="stable")
    rates, terms = rates[order], terms[:, order]
    groups = np.append(0, np.cumsum(np.abs(np.diff(rates)) > 1e-9 * rates[1:]))  # equal rates are one term
    joined = np.zeros((len(terms), groups[-1] + 1))
    for k, group in enumerate(groups):
        joined[:, group] += terms[:, k]
    return ExponentialPotential(layout, joined, rates[np.searchsorted(groups, np.arange(groups[-1] + 1))])
