"""Explicit features of polynomial kernels: scaled monomials of the traces, and their potentials between two events.

The feature space of a polynomial, branch or interaction kernel has finitely many dimensions. Coordinates in it keep
all digits of a product, where a Gram matrix keeps half of them: its entries round at 1e-16, so lengths do at 1e-8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True, eq=False)
class Monomials:
    """F features phi_f(x) = scales_f prod_k x_i, i = indices[f, k]; each has phi(0) = 0.

    indices (F, degree): afferents, filled up with -1 after the last; scales (F,) > 0
    """

    indices: np.ndarray
    scales: np.ndarray

    def steps(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        """phi(x + step) - phi(x) of M points (M, F), to the digits of the difference; x, step (M, N)."""
        return self._products(x, step, x + step)

    def slopes(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Derivatives of phi at x along u, (M, F)."""
        return self._products(x, u, x)

    def _products(self, x: np.ndarray, step: np.ndarray, end: np.ndarray) -> np.ndarray:
        """The product rule, factor by factor: change(a b) = change(a) b(end) + a change(b)."""
        ones, zeros = np.ones((len(x), 1)), np.zeros((len(x), 1))
        x, step, end = np.hstack([x, ones]), np.hstack([step, zeros]), np.hstack([end, ones])  # -1 is the factor 1
        value = np.tile(self.scales, (len(x), 1))
        change = np.zeros_like(value)
        for of_factor in self.indices.T:
            change = change * end[:, of_factor] + value * step[:, of_factor]
            value = value * x[:, of_factor]
        return change

    def powers(self) -> list[tuple[int, int]]:
        """Which D^m S^n occur in the potential between events."""
        degrees = np.unique((self.indices >= 0).sum(axis=1))
        return [(m, d - m) for d in degrees.tolist() for m in range(d + 1)]

    def terms(self, w: np.ndarray, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
        """(E, len(powers)) coefficients in w.phi of exp(-m s/tau_m - n s/tau_s), for traces x = slow exp(-s/tau_m) +
        fast exp(-s/tau_s) from the pieces' starts on, each (E, N); w (F,)."""
        most = self.indices.shape[1] + 1
        places = np.full((most, most), -1)
        for k, (m, n) in enumerate(self.powers()):
            places[m, n] = k
        return _terms(self.indices, self.scales * w, slow, fast, places, len(self.powers()))


@njit(cache=True, error_model="numpy")
def _terms(indices, weights, slow, fast, places, count):
    coefficients = np.zeros((len(slow), count))
    product = np.empty(indices.shape[1] + 1)  # coefficients by the power of the slow trace
    for e in range(len(slow)):
        for f in range(len(indices)):
            degree = 0
            product[0] = weights[f]
            for i in indices[f]:
                if i < 0:
                    break
                a, b = slow[e, i], fast[e, i]
                if a == 0.0 and b == 0.0:
                    product[: degree + 2] = 0.0
                else:
                    product[degree + 1] = product[degree] * a
                    for m in range(degree, 0, -1):
                        product[m] = product[m] * b + product[m - 1] * a
                    product[0] *= b
                degree += 1
            for m in range(degree + 1):
                coefficients[e, places[m, degree - m]] += product[m]
    return coefficients
