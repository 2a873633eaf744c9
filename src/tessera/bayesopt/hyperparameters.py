"""Hyper-parameters of the Gaussian process in gp.py: prior, likelihood, the most probable ones and slice sampling.

Priors, unless stated otherwise those of R. Rubin, arXiv 1807.00373: m ~ N(0, 1) (ours); log A^2 ~ N(0, 1);
p(sigma^2) ~ log(1 + (0.1 / sigma^2)^2), close to a horseshoe; l ~ inverse gamma(1, 0.25), cut at 2. A vector theta
holds m, log A^2, log sigma^2, log l_1, ..., log l_D.
"""

import math

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

from tessera.bayesopt.gp import Hyper, kernel, kernel_slope

#: Bounds of theta. The least noise keeps K + sigma^2 I well-conditioned; it is far below what an optimiser can use.
BOUNDS = {"mean": (-3.0, 3.0), "amplitude": (math.log(1e-8), math.log(1e2)), "noise": (math.log(1e-6), 0.0)}
LENGTHS = (math.log(5e-3), math.log(2.0))
#: Decimals to which a fitted theta is rounded, so that processors that differ in the last digit of a sum agree on it.
DECIMALS = 3


def bounds(width: int) -> np.ndarray:
    """Bounds (D + 3, 2) of theta."""
    return np.round([BOUNDS["mean"], BOUNDS["amplitude"], BOUNDS["noise"], *([LENGTHS] * width)], DECIMALS)


def start(width: int) -> np.ndarray:
    """Where theta begins without knowledge: unit amplitude, 1 % of noise, lengths of 0.4."""
    return np.array([0.0, 0.0, math.log(1e-4), *([math.log(0.4)] * width)])


def log_prior(theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Log density of the prior on (m, log A^2, sigma^2, log l), up to a constant, and its gradient by theta."""
    mean, amplitude, noise, lengths = theta[0], theta[1], theta[2], theta[3:]
    ratio = (0.1 * math.exp(-noise)) ** 2
    horseshoe = math.log1p(ratio)
    value = -(mean**2 + amplitude**2) / 2 + math.log(horseshoe) - float(np.sum(lengths + 0.25 * np.exp(-lengths)))
    gradient = np.concatenate(
        [[-mean, -amplitude, -2 * ratio / ((1 + ratio) * horseshoe)], -1 + 0.25 * np.exp(-lengths)]
    )
    return value, gradient


def log_likelihood(theta: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
    """Log marginal likelihood of values y (n,) at rows X (n, D)."""
    hyper = Hyper.of(theta)
    K = kernel(X, X, hyper)
    K[np.diag_indices_from(K)] += hyper.noise**2 + 1e-10 * hyper.amplitude**2
    L = cholesky(K, lower=True, overwrite_a=True, check_finite=False)
    whitened = solve_triangular(L, y - hyper.mean, lower=True, check_finite=False)
    return -float(whitened @ whitened) / 2 - float(np.log(np.diag(L)).sum()) - len(y) / 2 * math.log(2 * math.pi)


def log_posterior(theta: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Log of likelihood times prior, and its gradient (D + 3,).

    With K = L L', a = K^-1 (y - m), G = (a a' - K^-1) / 2: d/d log l_d = sum_ij G_ij q_ij (x_id - x_jd)^2 / l_d^2.
    """
    hyper = Hyper.of(theta)
    k, q = kernel_slope(X, X, hyper)
    K = k.copy()
    K[np.diag_indices_from(K)] += hyper.noise**2 + 1e-10 * hyper.amplitude**2
    L = cholesky(K, lower=True, overwrite_a=True, check_finite=False)
    residual = y - hyper.mean
    a = cho_solve((L, True), residual, check_finite=False)
    inverse = lapack.dpotri(L, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    G = (np.outer(a, a) - inverse) / 2
    H = G * q
    Xs = X / hyper.lengths
    by_lengths = 2 * (H.sum(axis=1) @ (Xs * Xs)) - 2 * np.einsum("nd,nd->d", Xs, H @ Xs)
    by_amplitude = float(np.vdot(G, k)) + 1e-10 * hyper.amplitude**2 * float(np.trace(G))
    gradient = np.concatenate([[a.sum(), by_amplitude, hyper.noise**2 * np.trace(G)], by_lengths])
    value = -float(residual @ a) / 2 - float(np.log(np.diag(L)).sum()) - len(y) / 2 * math.log(2 * math.pi)
    prior, by_prior = log_prior(theta)
    return value + prior, gradient + by_prior


def fit_map(X: np.ndarray, y: np.ndarray, warm: np.ndarray | None = None) -> np.ndarray:
    """theta of the highest posterior density over (m, log A^2, sigma^2, log l), by L-BFGS-B.

    It is sought from `start`, and from warm, the theta of an earlier fit, if there is one; the better is returned,
    rounded to DECIMALS. L-BFGS-B alone stops up to 1e-4 from the maximum, at a point that depends on rounding errors.
    """
    box = bounds(X.shape[1])

    def negative(theta: np.ndarray) -> tuple[float, np.ndarray]:
        # Rounded, or a difference in the last digit could grow with every step of the search.
        value, gradient = log_posterior(np.round(theta, 6), X, y)
        return -value, -gradient

    optima = []
    for theta in [start(X.shape[1])] if warm is None else [np.clip(warm, *box.T), start(X.shape[1])]:
        for _ in range(3):  # it may stop with a gradient that is far from 0, where another search continues
            result = minimize(negative, theta, jac=True, method="L-BFGS-B", bounds=box, options={"maxiter": 100})
            theta = result.x
            if np.abs(np.clip(theta - result.jac, *box.T) - theta).max() < 0.1:
                break
        optima.append((result.fun, theta))
    _, theta = min(optima, key=lambda optimum: round(optimum[0], 6))  # of equals the first, whatever their last digits
    return np.round(_polished(theta, X, y), DECIMALS)


def _polished(theta: np.ndarray, X: np.ndarray, y: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """theta after Newton's steps on the axes that are off their bounds, with a Hessian from differences.

    Returns theta as it is if the Hessian is not negative definite or the steps lead away.
    """
    box = bounds(X.shape[1])
    free = np.flatnonzero((theta > box[:, 0]) & (theta < box[:, 1]))
    gradient = log_posterior(theta, X, y)[1][free]
    rows = [(log_posterior(theta + step * unit, X, y)[1][free] - gradient) / step for unit in np.eye(len(theta))[free]]
    hessian = np.array(rows).reshape(len(free), len(free))
    try:
        factor = cho_factor(-(hessian + hessian.T) / 2)
    except LinAlgError:
        return theta
    polished = theta.copy()
    for _ in range(3):
        polished[free] += cho_solve(factor, gradient)
        if not np.abs(polished - theta).max() < 0.1:
            return theta
        polished = np.clip(polished, *box.T)
        gradient = log_posterior(polished, X, y)[1][free]
    return polished


def sample_slice(
    X: np.ndarray, y: np.ndarray, theta: np.ndarray, sweeps: int, rng: np.random.Generator, width: float = 1.0
) -> np.ndarray:
    """theta after some sweeps of slice sampling, one coordinate at a time, by stepping out and shrinkage.

    The chain's stationary density is the posterior of (m, A^2, sigma^2, l), written in theta. R. M. Neal, Slice
    sampling, Annals of Statistics 31 (2003).
    """
    box = bounds(X.shape[1])
    theta = np.clip(theta, *box.T)

    def density(theta: np.ndarray) -> float:
        # The prior of sigma^2 is a density in sigma^2: in log sigma^2 it gains that factor.
        return log_likelihood(theta, X, y) + log_prior(theta)[0] + theta[2]

    here = density(theta)
    for _ in range(sweeps):
        for i in rng.permutation(len(theta)):
            level = here - rng.exponential()
            left = theta[i] - width * rng.random()
            right = left + width
            moved = theta.copy()

            def at(value: float, moved: np.ndarray = moved, i: int = i) -> float:
                if not box[i, 0] <= value <= box[i, 1]:
                    return -math.inf
                moved[i] = value
                return density(moved)

            while at(left) > level:
                left -= width
            while at(right) > level:
                right += width
            while True:
                value = rng.uniform(left, right)
                there = at(value)
                if there > level:
                    break
                left, right = (value, right) if value < theta[i] else (left, value)
            theta, here = moved, there
    return np.round(theta, DECIMALS)
