"""Functions drawn from a posterior, and their minima: pathwise conditioning and a batch of L-BFGS searches in the cube.

A draw is a draw of the prior, from random Fourier features, moved by the kernel to where the data are (Matheron's rule;
J. Wilson et al., Efficiently sampling functions from Gaussian process posteriors, ICML 2020):

    f(x) = m + phi(x)' w + k(x, Z) v,  v = solve(y - m - draw of the data under that prior draw)
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import gammaln

from tessera.bayesopt.gp import Posterior, kernel_slope, slope

#: Decimals of the rows that a search visits; without, each step may double a difference in the last digit.
DECIMALS = 8
#: Values (s,) and gradients (s, D) of the functions with the given indices (s,) at rows (s, D), one row per function.
Batch = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Paths:
    """count functions drawn from a posterior, from `features` random Fourier features of the Matern-5/2 kernel.

    The kernel's spectral density is Student's t with 5 degrees of freedom, of frequencies g sqrt(5 / u) / l with g
    standard normal and u chi-square. Between close observations what remains unknown is in its far tail, which few
    draws reach: with 512 of them the draws' standard deviation there can be half of the posterior's. So half of
    the frequencies are drawn from Student's t with 1 degree of freedom, and all are weighted by the ratio of the
    densities.
    """

    def __init__(self, posterior: Posterior, count: int, rng: np.random.Generator, features: int = 512) -> None:
        hyper = posterior.hyper
        self.posterior = posterior
        width = len(hyper.lengths)
        frequencies, weights = _frequencies(features, width, rng)
        self._frequencies = frequencies / hyper.lengths
        self._phases = rng.uniform(0, 2 * np.pi, features)
        self._w = rng.standard_normal((count, features)) * (hyper.amplitude * np.sqrt(2 * weights / features))
        at_Z = np.cos(posterior.Z @ self._frequencies.T + self._phases) @ self._w.T
        self._v = posterior.solve((posterior.y - hyper.mean)[:, None] - posterior.noise(at_Z, rng)).T

    def __call__(self, rows: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (s,) and gradients (s, D) of functions `which` (s,) at rows (s, D), each at its own row."""
        hyper = self.posterior.hyper
        angles = rows @ self._frequencies.T + self._phases
        w, v = self._w[which], self._v[which]
        k, q = kernel_slope(rows, self.posterior.Z, hyper)
        values = hyper.mean + np.einsum("sf,sf->s", np.cos(angles), w) + np.einsum("sm,sm->s", k, v)
        gradients = slope(rows, self.posterior.Z, q * v, hyper) - (np.sin(angles) * w) @ self._frequencies
        return values, gradients

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Values (count, s) of all functions at rows (s, D)."""
        k, _ = kernel_slope(rows, self.posterior.Z, self.posterior.hyper)
        prior = np.cos(rows @ self._frequencies.T + self._phases) @ self._w.T
        return self.posterior.hyper.mean + (prior + k @ self._v.T).T


def _frequencies(count: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (count, width) of unit length scales from the mixture of densities, and weights (count,)."""
    freedom = np.where(np.arange(count) % 2 == 0, 5, 1)
    drawn = rng.standard_normal((count, width)) * np.sqrt(freedom / rng.chisquare(freedom))[:, None]
    square = np.einsum("fd,fd->f", drawn, drawn)

    def log_density(nu: int) -> np.ndarray:
        scale = gammaln((nu + width) / 2) - gammaln(nu / 2) - width / 2 * np.log(nu)
        return scale - (nu + width) / 2 * np.log1p(square / nu)

    return drawn, 2 / (1 + np.exp(log_density(1) - log_density(5)))


def minimise(batch: Batch, starts: np.ndarray, iterations: int = 60, memory: int = 8, tolerance: float = 1e-5) -> tuple:
    """Local minima of one function per start, by projected L-BFGS in the unit cube, all starts at once.

    starts is (s, D). Returns rows (s, D) and values (s,). An axis that lies on a bound and whose gradient points
    outwards is left out of the step and of the curvature; steps are halved until Armijo's condition holds along the
    projection. A search ends if its projected gradient is below tolerance times the larger of 1 and |f|, if its step
    fails, or after the iterations.
    """
    x = starts.copy()
    count, width = x.shape
    f, g = batch(x, np.arange(count))
    S, Y, R = (np.zeros((memory, count, width)), np.zeros((memory, count, width)), np.zeros((memory, count)))
    alive = np.arange(count)
    for _ in range(iterations):
        free = ~(((x[alive] <= 0) & (g[alive] > 0)) | ((x[alive] >= 1) & (g[alive] < 0)))
        projected = np.where(free, g[alive], 0.0)
        going = np.abs(projected).max(axis=1) > tolerance * np.maximum(1.0, np.abs(f[alive]))
        alive, free, projected = alive[going], free[going], projected[going]
        if not len(alive):
            break
        direction = -_two_loops(projected, S[:, alive] * free, Y[:, alive] * free, R[:, alive])
        direction = np.where(free, direction, 0.0)
        descent = np.einsum("sd,sd->s", direction, projected)
        steep = descent > -1e-10 * np.einsum("sd,sd->s", projected, projected)
        direction[steep] = -projected[steep]
        fresh = steep | ~(R[:, alive] > 0).any(axis=0)
        size = np.ones(len(alive))
        size[fresh] = 0.1 / np.maximum(np.abs(direction[fresh]).max(axis=1), 1e-12)
        moved, new_f, new_g, stepped = _line_search(batch, x[alive], f[alive], g[alive], direction, size, alive)
        step, change = moved - x[alive], new_g - g[alive]
        curvature = np.einsum("sd,sd->s", step, change)
        good = stepped & (curvature > 1e-10 * np.einsum("sd,sd->s", change, change))
        S[:-1, alive], Y[:-1, alive], R[:-1, alive] = S[1:, alive], Y[1:, alive], R[1:, alive]
        S[-1, alive], Y[-1, alive] = step, change
        R[-1, alive] = np.where(good, 1.0 / np.where(good, curvature, 1.0), 0.0)
        x[alive], f[alive], g[alive] = moved, new_f, new_g
        alive = alive[stepped]
    return x, f


def polished(batch: Batch, row: np.ndarray, index: int, step: float = 1e-5) -> np.ndarray:
    """A minimum (D,) of function `index` after Newton's steps: where `minimise` stops depends on rounding errors.

    Axes that lie on a bound and whose gradient points outwards stay. Returns row as it is if the Hessian, from
    differences, is not positive definite or the steps lead away.
    """
    inwards = np.where(row < 0.5, step, -step)
    _, gradients = batch(np.vstack([row, row + np.diag(inwards)]), np.full(len(row) + 1, index))
    gradient = gradients[0]
    free = np.flatnonzero(~(((row <= 0) & (gradient > 0)) | ((row >= 1) & (gradient < 0))))
    hessian = ((gradients[1:] - gradient) / inwards[:, None])[np.ix_(free, free)]
    try:
        factor = cho_factor((hessian + hessian.T) / 2)
    except LinAlgError:
        return row
    moved = row.copy()
    for _ in range(3):
        moved[free] = np.clip(moved[free] - cho_solve(factor, gradient[free]), 0.0, 1.0)
        if not np.abs(moved - row).max() < 1e-3:
            return row
        gradient = batch(moved[None], np.array([index]))[1][0]
    return moved


def _two_loops(g: np.ndarray, S: np.ndarray, Y: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Inverse Hessian times gradient of each row, from its last steps S, changes Y and 1 / S'Y (0: none)."""
    q = g.copy()
    a = np.zeros(R.shape)
    for i in reversed(range(len(R))):
        a[i] = R[i] * np.einsum("sd,sd->s", S[i], q)
        q -= a[i][:, None] * Y[i]
    square = np.einsum("sd,sd->s", Y[-1], Y[-1])
    scaled = (R[-1] > 0) & (square > 0)
    q *= np.where(scaled, 1 / (np.where(scaled, R[-1], 1.0) * np.where(scaled, square, 1.0)), 1.0)[:, None]
    for i in range(len(R)):
        b = R[i] * np.einsum("sd,sd->s", Y[i], q)
        q += (a[i] - b)[:, None] * S[i]
    return q


def _line_search(
    batch: Batch,
    x: np.ndarray,
    f: np.ndarray,
    g: np.ndarray,
    direction: np.ndarray,
    size: np.ndarray,
    which: np.ndarray,
    trials: int = 12,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Halve each row's step until the decrease is enough; rows that find none stay where they are."""
    best, best_f, best_g = x.copy(), f.copy(), g.copy()
    stepped = np.zeros(len(x), dtype=bool)
    for _ in range(trials):
        todo = np.flatnonzero(~stepped)
        moved = np.round(np.clip(x[todo] + size[todo, None] * direction[todo], 0.0, 1.0), DECIMALS)
        new_f, new_g = batch(moved, which[todo])
        enough = new_f <= f[todo] + 1e-4 * np.einsum("sd,sd->s", g[todo], moved - x[todo])
        done = todo[enough]
        best[done], best_f[done], best_g[done] = moved[enough], new_f[enough], new_g[enough]
        stepped[done] = True
        if stepped.all():
            break
        size[todo[~enough]] /= 2
    return best, best_f, best_g, stepped
