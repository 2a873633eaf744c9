"""Feature spaces as coordinates: atoms phi(x(t)) and d/dt phi(x(t)) become rows, products become dot products.

The linear kernel has the traces themselves. Any other kernel gets its coordinates from a Cholesky factor of the atoms'
Gram matrix that grows by a row per atom; an atom within rounding of the span of earlier ones adds no dimension.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from tessera.tsvm.gaussian import GaussianPotential
from tessera.tsvm.kernels import (
    Expansion,
    ExponentialKernel,
    Kernel,
    Linear,
    branches_of,
    centred_gram,
    check_afferents,
)
from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import ExponentialPotential, Potential

#: An atom whose square distance from the span of earlier atoms is below this, of its own square, adds no dimension.
DEPENDENT = 1e-13


def space(layout: Layout, kernel: Kernel) -> LinearSpace | KernelSpace:
    """The feature space of a kernel over the layout's patterns."""
    check_afferents(kernel, layout.spikes.n_neurons)
    return LinearSpace(layout) if isinstance(kernel, Linear) else KernelSpace(layout, kernel)


class LinearSpace:
    """phi(x) = x. Atoms are not kept: w is a vector."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def add(self, patterns: np.ndarray, times: np.ndarray, is_slope: np.ndarray) -> np.ndarray:
        """Coordinates (M, n) of M atoms."""
        x, u = self.layout.traces(patterns, times)
        return np.where(is_slope[:, None], u, x)

    def norm(self, coordinates: np.ndarray, atoms: np.ndarray) -> float:
        """|w|, of w given by coordinates (n,) and by what it takes of every atom added so far."""
        return float(np.linalg.norm(coordinates))

    def potential(self, coordinates: np.ndarray, atoms: np.ndarray, layout: Layout | None = None) -> Potential:
        """w.phi over a layout, by default the one of the atoms."""
        layout = layout or self.layout
        kernel = layout.kernel
        return ExponentialPotential(
            layout, layout.potential_terms(coordinates), np.array([1 / kernel.tau_s, 1 / kernel.tau_m])
        )

    def expansion(self, atoms: np.ndarray) -> Expansion | None:
        return None


class KernelSpace:
    """phi of a kernel, centred so that phi(0) = 0; coordinates are those of the atoms' growing Cholesky factor."""

    def __init__(self, layout: Layout, kernel: Kernel) -> None:
        self.layout, self.kernel = layout, kernel
        n = layout.spikes.n_neurons
        self._x, self._u, self._is_slope = np.empty((0, n)), np.empty((0, n)), np.empty(0, dtype=bool)
        self._gram, self._coordinates = np.empty((0, 0)), np.empty((0, 0))
        self._pivots: list[int] = []

    def add(self, patterns: np.ndarray, times: np.ndarray, is_slope: np.ndarray) -> np.ndarray:
        x, u = self.layout.traces(patterns, times)
        old = len(self._x)
        self._x, self._u = np.vstack([self._x, x]), np.vstack([self._u, u])
        self._is_slope = np.append(self._is_slope, is_slope)
        fresh = centred_gram(self.kernel, self._x, self._u, self._is_slope, x, u, is_slope)
        gram = np.empty((len(self._x), len(self._x)))
        gram[:old, :old], gram[:, old:], gram[old:, :old] = self._gram, fresh, fresh[:old].T
        self._gram = gram
        n = len(self._pivots)
        grown = np.zeros((len(self._x), n + len(x)))
        grown[:old, :n] = self._coordinates
        for i in range(old, len(self._x)):
            # Forward substitution against the pivots, once more on what is left for the digits.
            row = np.zeros(n + len(x))
            for k, pivot in enumerate(self._pivots):
                row[k] = (gram[i, pivot] - row[:k] @ grown[pivot, :k]) / grown[pivot, k]
            left = gram[i, i] - row @ row
            if left > DEPENDENT * gram[i, i] and left > 0:
                row[len(self._pivots)] = np.sqrt(left)
                self._pivots.append(i)
            grown[i] = row
        self._coordinates = grown[:, : len(self._pivots)]
        return self._coordinates[old:]

    def norm(self, coordinates: np.ndarray, atoms: np.ndarray) -> float:
        return float(np.sqrt(max(atoms @ self._gram @ atoms, 0.0)))

    def expansion(self, atoms: np.ndarray) -> Expansion:
        """w as values and derivatives at the atoms that it takes something of."""
        used = atoms != 0
        values, derivs = np.where(self._is_slope, 0.0, atoms), np.where(self._is_slope, atoms, 0.0)
        return Expansion(self._x[used], self._u[used], values[used], derivs[used])

    def potential(self, coordinates: np.ndarray, atoms: np.ndarray, layout: Layout | None = None) -> Potential:
        return potential_of(self.kernel, self.expansion(atoms), layout or self.layout, self.norm(coordinates, atoms))


def potential_of(kernel: Kernel, w: Expansion, layout: Layout, norm: float) -> Potential:
    """w.phi over a layout, which need not be the one that w was trained on."""
    slow, fast = layout.all_traces()
    unit = layout.kernel.v0 * layout.scale
    slow, fast = slow * unit, fast * -unit
    gaussian = branches_of(kernel, layout.spikes.n_neurons)
    if gaussian:
        return GaussianPotential(layout, *gaussian, w, norm, slow, fast)
    kernel = cast(ExponentialKernel, kernel)
    powers = np.array(kernel.powers())
    rates = powers @ np.array([1 / layout.kernel.tau_m, 1 / layout.kernel.tau_s])
    terms = kernel.terms(w, slow, fast)
    # 1/tau_m has a place even where the kernel does not use it: the reset decays with it.
    rates, terms = np.append(rates, 1 / layout.kernel.tau_m), np.hstack([terms, np.zeros((len(terms), 1))])
    order = np.argsort(-rates, kind="stable")
    rates, terms = rates[order], terms[:, order]
    groups = np.append(0, np.cumsum(np.abs(np.diff(rates)) > 1e-9 * rates[1:]))  # equal rates are one term
    joined = np.zeros((len(terms), groups[-1] + 1))
    for k, group in enumerate(groups):
        joined[:, group] += terms[:, k]
    return ExponentialPotential(layout, joined, rates[np.searchsorted(groups, np.arange(groups[-1] + 1))])
