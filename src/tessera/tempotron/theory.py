"""Capacity of the tempotron on random classification: replica theory of a neuron that decides by the maximum of K bins.

The reference model (`tasks.bin_patterns`) replaces the T ms of a pattern by K independent Gaussian times. theta is the
threshold in units of the potential's standard deviation, free because |w| is. Labels are fair. alpha = P/N.

    RS     alpha = max_theta [ 1/2 int_{-inf}^theta (theta-m)^2 dPhi(m)^K
                               + K/2 ((1+theta^2) Phi(-theta) - theta phi(theta)) ]^-1
    1RSB   alpha = max_theta min_{x, q0} 1/2 [ln(1+x') + x q0/(1+x')] / (1/2 (A_null + A_target)),  x' = x (1-q0),
           A_null = -K E_z ln B(z),  A_target = -E_z ln E exp(-x (theta - max)_+^2 / 2),
           in the limit q1 -> 1 with x = m/(1-q1) finite (m: Parisi parameter); q0 = 0 is the version without overlap
           between clusters. The stability of one-step breaking is unchecked: a prediction, not a bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp, roots_hermitenorm, roots_legendre
from scipy.stats import qmc

#: Bounds of the inner minimum: beyond them the quadratures lose their meaning.
LOG_X, Q0_MAX = (-3.0, 7.0), 0.98

_R, _R_WEIGHT = roots_legendre(40)
_R, _R_WEIGHT = 2.75 * (_R + 1), 2.75 * _R_WEIGHT  # nodes on [0, 5.5]
_R_WEIGHT = _R_WEIGHT * 2 * _R * np.exp(-(_R**2))
_U, _U_WEIGHT = roots_legendre(400)


@dataclass(frozen=True)
class Capacity:
    """A capacity alpha_c and its optimum: theta, x (None for RS) and q0."""

    alpha: float
    theta: float
    x: float | None = None
    q0: float = 0.0


def median_threshold(k: float) -> float:
    """theta at which half of the patterns fire: Phi(theta)^K = 1/2."""
    return float(ndtri_exp(-math.log(2) / k))


def leading_order(k: float) -> float:
    """ln ln K / (2 ln 2), the asymptotic law; below 2 until K = e^16, so of no use as a number at any practical K.

    Raises ValueError unless K > 1.
    """
    if not 1 < k < math.inf:
        raise ValueError(f"K is {k}; the leading order needs a finite K > 1")
    return math.log(math.log(k)) / (2 * math.log(2))


def replica_symmetric(k: float) -> Capacity:
    """RS capacity at real K >= 1; 2 at K = 1 (the perceptron)."""
    _check(k)

    def inverse(theta: float) -> float:
        # By parts: int (theta-m)^2 dPhi(m)^K = int_0^inf 2 u Phi(theta-u)^K du, cut where Phi is below 1e-19.
        reach = theta + 9
        u = reach * (_U + 1) / 2
        target = reach / 2 * _U_WEIGHT @ (2 * u * np.exp(k * log_ndtr(theta - u)))
        density = math.exp(-(theta**2) / 2) / math.sqrt(2 * math.pi)
        null = k * ((1 + theta**2) * ndtr(-theta) - theta * density)
        return float(target + null) / 2

    optimum = _minimum(inverse, median_threshold(k), 1.0)
    return Capacity(float(1 / optimum.fun), float(optimum.x))


def zero_overlap(k: float) -> Capacity:
    """1RSB capacity with q0 = 0, at real K >= 1: deterministic integrals."""
    _check(k)

    def ratio(log_x: float, theta: float) -> float:
        x = math.exp(log_x)
        target = -_log_target(k * log_ndtr(theta - _R * math.sqrt(2 / x)))
        null = -k * math.log(_bin_factor(theta, x))
        return float(math.log1p(x) / (target + null))

    def inner(theta: float) -> optimize.OptimizeResult:
        return optimize.minimize_scalar(
            lambda v: ratio(v, theta), bounds=LOG_X, method="bounded", options={"xatol": 1e-6}
        )

    optimum = _minimum(lambda theta: -inner(theta).fun, median_threshold(k), 0.4)
    return Capacity(float(-optimum.fun), float(optimum.x), math.exp(inner(optimum.x).x))


def one_step(k: float, points: int = 2048, seed: int = 0) -> Capacity:
    """1RSB capacity at integer K >= 2: the average over z0 by tensor Gauss-Hermite (K = 2, 3) or Sobol points.

    points: number of Sobol points, a power of two (antithetic: half of them drawn). At K = 1 replica symmetry holds and
    the ratio degenerates (x -> 0): use `replica_symmetric`.
    """
    if not (math.isfinite(k) and k == int(k) and k >= 2):
        raise ValueError(f"K is {k}; one-step breaking needs an integer K >= 2")
    average = _Average(int(k), points, seed)
    middle = median_threshold(k)
    scan = [
        (average.ratio(log_x, q0, middle), log_x, q0)
        for q0 in np.arange(0, 0.85, 0.1).tolist()
        for log_x in np.arange(1.0, 5.6, 0.5).tolist()
    ]
    best = np.array(min(scan)[1:])

    def inner(theta: float) -> optimize.OptimizeResult:
        nonlocal best
        optimum = optimize.minimize(
            lambda v: average.ratio(v[0], v[1], theta),
            best,
            method="Nelder-Mead",
            bounds=[LOG_X, (0.0, Q0_MAX)],
            options={
                "xatol": 1e-3,
                "fatol": 1e-6,
                "initial_simplex": best + np.array([[0, 0], [0.15, 0], [0, -0.05 if best[1] > 0.1 else 0.05]]),
            },
        )
        best = optimum.x
        return optimum

    optimum = _minimum(lambda theta: -inner(theta).fun, middle, 0.2, tolerance=3e-3)
    log_x, q0 = inner(optimum.x).x
    return Capacity(float(-optimum.fun), float(optimum.x), math.exp(log_x), float(q0))


def capacity(k: float, approximation: str = "1rsb") -> float:
    """alpha_c(K) by "1rsb", "rs", "q0=0" or "leading"; 1RSB takes integer K, and equals RS at K = 1."""
    if approximation == "1rsb":
        return replica_symmetric(1).alpha if k == 1 else one_step(k).alpha
    if approximation == "rs":
        return replica_symmetric(k).alpha
    if approximation == "q0=0":
        return zero_overlap(k).alpha
    if approximation == "leading":
        return leading_order(k)
    raise ValueError(f"approximation is {approximation!r}; expected 1rsb, rs, q0=0 or leading")


def capacities(k: int, points: int, seed: int) -> dict[str, float]:
    """Return the capacities of K bins by every approximation, with theta, x and q0 of one-step breaking.

    K = 1, the perceptron, is replica symmetric: its leading order, x and q0 are NaN. points and seed: see `one_step`.
    """
    symmetric = replica_symmetric(k)
    if k == 1:
        one_rsb, without_overlap = Capacity(symmetric.alpha, symmetric.theta, math.nan, math.nan), symmetric
    else:
        one_rsb, without_overlap = one_step(k, points, seed), zero_overlap(k)
    return {
        "k": k,
        "replica_symmetric": symmetric.alpha,
        "leading": leading_order(k) if k > 1 else math.nan,
        "one_step": one_rsb.alpha,
        "zero_overlap": without_overlap.alpha,
        "theta": one_rsb.theta,
        "x": math.nan if one_rsb.x is None else one_rsb.x,
        "q0": one_rsb.q0,
    }


class _Average:
    """The average over z0 of the K bins at one K.

    A row of `design` interpolates sum_k g(z_k) of one point from g on `grid`, so the vector integral costs a sparse
    product: exact where the z_k are Gauss-Hermite nodes, fourth order in the spacing (0.05) for Sobol points.
    """

    def __init__(self, k: int, points: int, seed: int) -> None:
        self.k = k
        self.nodes, self.node_weights = _hermite(80)
        if k <= 3:
            self.grid, weights = _hermite(60)
            picks = np.stack(np.meshgrid(*[np.arange(len(self.grid))] * k, indexing="ij"), -1).reshape(-1, k)
            picks = picks[(np.diff(picks, axis=1) >= 0).all(axis=1)]  # one of each set of permutations
            self.weights = weights[picks].prod(axis=1)
            picks, self.weights = picks[self.weights > 1e-18], self.weights[self.weights > 1e-18]
            self.weights = self.weights * [math.factorial(k) / _permutations(row) for row in picks]
            self.design = _counts(picks, np.ones_like(picks, dtype=float), len(self.grid))
        else:
            uniform = qmc.Sobol(k, scramble=True, rng=np.random.default_rng(seed)).random(points // 2)
            half = ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
            z = np.concatenate([half, -half])
            self.grid = np.arange(-7.5, 7.5001, 0.05)
            self.weights = np.full(len(z), 1 / len(z))
            self.design = _lagrange(z, self.grid)

    def ratio(self, log_x: float, q0: float, theta: float) -> float:
        x, rest = math.exp(log_x), 1 - q0
        x1 = x * rest
        entropy = math.log1p(x1) + x * q0 / (1 + x1)
        delta = (theta - math.sqrt(q0) * self.nodes) / math.sqrt(rest)
        null = -self.k * self.node_weights @ np.log(_bin_factor(delta, x1))
        levels = (theta - _R * math.sqrt(2 / x)) / math.sqrt(rest)
        table = log_ndtr(levels[None, :] - math.sqrt(q0 / rest) * self.grid[:, None])  # (grid, r)
        target = -self.weights @ _log_target(self.design @ table)
        return entropy / (null + target)


def _bin_factor(delta, x):
    """B = E exp(-x (z - delta)_+^2 / 2) over a unit Gaussian z."""
    return ndtr(delta) + np.exp(-x * delta**2 / (2 * (1 + x))) * ndtr(-delta / np.sqrt(1 + x)) / np.sqrt(1 + x)


def _log_target(log_f: np.ndarray) -> np.ndarray:
    """ln E exp(-x (theta - max)_+^2 / 2) = ln(1 - int 2 r e^{-r^2} F(theta - r sqrt(2/x)) dr); log_f (..., r)."""
    return np.log1p(-np.minimum(np.exp(log_f) @ _R_WEIGHT, 1 - 1e-16))


def _minimum(f, centre: float, reach: float, tolerance: float = 1e-6) -> optimize.OptimizeResult:
    return optimize.minimize_scalar(
        f, bounds=(centre - reach, centre + reach), method="bounded", options={"xatol": tolerance}
    )


def _hermite(n: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = roots_hermitenorm(n)
    return nodes, weights / weights.sum()


def _permutations(row: np.ndarray) -> int:
    return math.prod(math.factorial(c) for c in np.unique(row, return_counts=True)[1])


def _counts(picks: np.ndarray, values: np.ndarray, n: int) -> sparse.csr_array:
    rows = np.repeat(np.arange(len(picks)), picks.shape[1])
    return sparse.csr_array((values.ravel(), (rows, picks.ravel())), shape=(len(picks), n))


def _lagrange(z: np.ndarray, grid: np.ndarray) -> sparse.csr_array:
    step = grid[1] - grid[0]
    place = (z - grid[0]) / step
    base = np.clip(np.floor(place).astype(int), 1, len(grid) - 3)
    t = place - base
    cubic = [
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    ]
    picks = np.concatenate([base + j for j in (-1, 0, 1, 2)], axis=1)
    return _counts(picks, np.concatenate(cubic, axis=1), len(grid))


def _check(k: float) -> None:
    if not 1 <= k < math.inf:
        raise ValueError(f"K is {k}; expected a finite number of at least 1")
