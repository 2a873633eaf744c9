"""Gaussian process with a Matern-5/2 kernel: its posterior, given hyper-parameters.

    y = f(x) + e,  f ~ GP(m, k),  k(x, x') = A^2 (1 + sqrt5 r + 5 r^2 / 3) exp(-sqrt5 r),  r^2 = sum_d (x_d - x'_d)^2 /
    l_d^2

Inputs are rows of the unit cube, values are standardised. A vector theta holds m, log A^2, log sigma^2, log l_1, ...,
log l_D; e has variance sigma^2.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist

SQRT5 = math.sqrt(5.0)


@dataclass(frozen=True)
class Hyper:
    """Hyper-parameters: mean m, amplitude A, noise sd sigma, and length scales l (D,)."""

    mean: float
    amplitude: float
    noise: float
    lengths: np.ndarray

    @classmethod
    def of(cls, theta: np.ndarray) -> "Hyper":
        return cls(
            float(theta[0]), math.exp(theta[1] / 2), math.exp(theta[2] / 2), np.exp(np.asarray(theta[3:], dtype=float))
        )


def kernel(X: np.ndarray, Z: np.ndarray, hyper: Hyper) -> np.ndarray:
    """k(X, Z), (n, m)."""
    s = SQRT5 * cdist(X / hyper.lengths, Z / hyper.lengths)
    return hyper.amplitude**2 * (1 + s + s * s / 3) * np.exp(-s)


def kernel_slope(X: np.ndarray, Z: np.ndarray, hyper: Hyper) -> tuple[np.ndarray, np.ndarray]:
    """k(X, Z) and q(X, Z), where dk/dx_d = -q (x_d - z_d) / l_d^2; both (n, m)."""
    s = SQRT5 * cdist(X / hyper.lengths, Z / hyper.lengths)
    scaled = hyper.amplitude**2 * np.exp(-s)
    return scaled * (1 + s + s * s / 3), scaled * (1 + s) * (5 / 3)


class Posterior:
    """Posterior of f given values y (n,) at rows X (n, D), with hyper-parameters hyper.

    Exact if inducing is None. Otherwise inducing (m, D) are the rows through which the data are seen, by the fully
    independent conditional of E. Snelson and Z. Ghahramani (NIPS 2005): y_i given f(Z) has variance sigma^2 + k(x_i,
    x_i) - k(x_i, Z) K_ZZ^-1 k(Z, x_i). The cost is O(n^3), or O(n m^2).

    Z are the rows that functions of the posterior are spanned by: f = m + k(x, Z) weights; variance is
    A^2 - |R k(Z, x)|^2 + |T k(Z, x)|^2 with triangular R and, inducing alone, T.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, hyper: Hyper, inducing: np.ndarray | None = None) -> None:
        self.X, self.y, self.hyper = X, y, hyper
        self.exact = inducing is None
        self.Z = X if inducing is None else inducing
        K = kernel(self.Z, self.Z, hyper)
        jitter = (1e-10 if self.exact else 1e-8) * hyper.amplitude**2
        K[np.diag_indices_from(K)] += (hyper.noise**2 if self.exact else 0.0) + jitter
        self._L = cholesky(K, lower=True, overwrite_a=True, check_finite=False)
        if not self.exact:
            V = solve_triangular(self._L, kernel(self.Z, X, hyper), lower=True, check_finite=False)
            unexplained = np.maximum(hyper.amplitude**2 - np.einsum("mn,mn->n", V, V), 0.0)
            self._variances = hyper.noise**2 + unexplained
            self._V = V / np.sqrt(self._variances)
            self._LB = cholesky(np.eye(len(K)) + self._V @ self._V.T, lower=True, check_finite=False)
        self.weights = self.solve((y - hyper.mean)[:, None])[:, 0]

    def solve(self, residuals: np.ndarray) -> np.ndarray:
        """Weights (m, s) on k(., Z) that the data's residuals (n, s) have in the posterior mean."""
        if self.exact:
            return cho_solve((self._L, True), residuals, check_finite=False)
        inner = cho_solve((self._LB, True), self._V @ (residuals / np.sqrt(self._variances)[:, None]))
        return solve_triangular(self._L, inner, lower=True, trans=1, check_finite=False)

    def noise(self, prior_at_Z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws (n, s) of what the data would be, less m, if f(Z) - m were the columns of prior_at_Z (m, s)."""
        if self.exact:
            return prior_at_Z + self.hyper.noise * rng.standard_normal(prior_at_Z.shape)
        whitened = solve_triangular(self._L, prior_at_Z, lower=True, check_finite=False)
        spread = np.sqrt(self._variances)[:, None]
        return (self._V.T @ whitened + rng.standard_normal((len(self.X), prior_at_Z.shape[1]))) * spread

    def mean(self, rows: np.ndarray) -> np.ndarray:
        """Posterior mean of f (s,) at rows (s, D)."""
        return self.hyper.mean + kernel(rows, self.Z, self.hyper) @ self.weights

    def mean_sd(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation of f, both (s,), at rows (s, D)."""
        k = kernel(self.Z, rows, self.hyper)
        half = solve_triangular(self._L, k, lower=True, check_finite=False)
        variance = self.hyper.amplitude**2 - np.einsum("ms,ms->s", half, half)
        if not self.exact:
            rest = solve_triangular(self._LB, half, lower=True, check_finite=False)
            variance += np.einsum("ms,ms->s", rest, rest)
        return self.hyper.mean + k.T @ self.weights, np.sqrt(np.maximum(variance, 1e-14 * self.hyper.amplitude**2))

    def mean_sd_slopes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean (s,), standard deviation (s,), and their gradients (s, D) at rows (s, D)."""
        k, q = kernel_slope(rows, self.Z, self.hyper)
        half = solve_triangular(self._L, k.T, lower=True, check_finite=False)
        variance = self.hyper.amplitude**2 - np.einsum("ms,ms->s", half, half)
        back = solve_triangular(self._L, half, lower=True, trans=1, check_finite=False)
        if not self.exact:
            rest = solve_triangular(self._LB, half, lower=True, check_finite=False)
            variance += np.einsum("ms,ms->s", rest, rest)
            inner = solve_triangular(self._LB, rest, lower=True, trans=1, check_finite=False)
            back -= solve_triangular(self._L, inner, lower=True, trans=1, check_finite=False)
        sd = np.sqrt(np.maximum(variance, 1e-14 * self.hyper.amplitude**2))
        mean = self.hyper.mean + k @ self.weights
        by_mean = slope(rows, self.Z, q * self.weights, self.hyper)
        by_sd = -slope(rows, self.Z, q * back.T, self.hyper) / sd[:, None]
        return mean, sd, by_mean, by_sd

    def partial(self, row: np.ndarray, axis: int) -> tuple[float, float]:
        """Mean and standard deviation of df/dx_axis at a row (D,)."""
        l2 = self.hyper.lengths[axis] ** 2
        _, q = kernel_slope(row[None], self.Z, self.hyper)
        dk = -(q[0] * (row[axis] - self.Z[:, axis])) / l2
        half = solve_triangular(self._L, dk, lower=True, check_finite=False)
        variance = 5 * self.hyper.amplitude**2 / (3 * l2) - float(half @ half)
        if not self.exact:
            rest = solve_triangular(self._LB, half, lower=True, check_finite=False)
            variance += float(rest @ rest)
        return float(dk @ self.weights), math.sqrt(max(variance, 0.0))

    def sample_values(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One joint draw (s,) of noisy observations at rows (s, D)."""
        k = kernel(self.Z, rows, self.hyper)
        half = solve_triangular(self._L, k, lower=True, check_finite=False)
        covariance = kernel(rows, rows, self.hyper) - half.T @ half
        if not self.exact:
            rest = solve_triangular(self._LB, half, lower=True, check_finite=False)
            covariance += rest.T @ rest
        covariance[np.diag_indices_from(covariance)] += self.hyper.noise**2 + 1e-9 * self.hyper.amplitude**2
        L = cholesky(covariance, lower=True, check_finite=False)
        return self.hyper.mean + k.T @ self.weights + L @ rng.standard_normal(len(rows))


def slope(rows: np.ndarray, Z: np.ndarray, weighted: np.ndarray, hyper: Hyper) -> np.ndarray:
    """sum_j -weighted_sj (x_sd - z_jd) / l_d^2 (s, D): gradient of k(rows, Z) w, where weighted (s, m) is q times w."""
    return -(rows * weighted.sum(axis=1, keepdims=True) - weighted @ Z) / hyper.lengths**2


def inducing_rows(X: np.ndarray, y: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of count of the n observations: one half the least y, the other half drawn from the rest."""
    order = np.argsort(y, kind="stable")
    best = order[: count // 2]
    rest = rng.choice(order[count // 2 :], count - len(best), replace=False)
    return np.sort(np.concatenate([best, rest]))
