"""Posterior samples against the exact posterior, and the batch of searches against SciPy's."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import approx_fprime, minimize

from tessera.bayesopt import gp, sample
from tessera.bayesopt.gp import Hyper, Posterior


def posterior(inducing: bool = False, noise: float = 0.05) -> Posterior:
    rng = np.random.default_rng(0)
    X = rng.random((40, 2))
    y = np.sin(5 * X[:, 0]) * np.cos(3 * X[:, 1])
    hyper = Hyper(mean=0.1, amplitude=1.0, noise=noise, lengths=np.array([0.5, 0.8]))
    return Posterior(X, y, hyper, X[:25] if inducing else None)


@pytest.mark.parametrize("inducing", [False, True])
@pytest.mark.parametrize("noise", [0.2, 1e-3])
def test_paths_have_the_moments_of_the_posterior(inducing: bool, noise: float) -> None:
    """Over fresh frequencies; without weights in the spectrum's tail the spread at little noise would be half."""
    model = posterior(inducing, noise)
    rng = np.random.default_rng(1)
    rows = rng.random((8, 2))
    draws = np.concatenate([sample.Paths(model, 100, rng, 1024).values(rows) for _ in range(40)])
    mean, sd = model.mean_sd(rows)
    assert np.abs((draws.mean(axis=0) - mean) / sd).max() < 5 / np.sqrt(len(draws)) * 1.5
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.12)


def test_paths_and_their_gradients_agree() -> None:
    paths = sample.Paths(posterior(), 5, np.random.default_rng(2))
    rows = np.random.default_rng(3).random((5, 2))
    which = np.arange(5)
    values, gradients = paths(rows, which)
    np.testing.assert_allclose(values, np.diag(paths.values(rows)), rtol=1e-9)
    for i in which:
        numeric = approx_fprime(rows[i], lambda x, i=i: paths(x[None], np.array([i]))[0][0], 1e-7)
        np.testing.assert_allclose(gradients[i], numeric, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("inducing", [False, True])
def test_fantasies_are_draws_of_the_joint_posterior(inducing: bool) -> None:
    """Whitened by the exact joint posterior, noise included, they are standard normal."""
    model = posterior(inducing)
    rows = np.array([[0.1, 0.2], [0.12, 0.22], [0.9, 0.5]])
    rng = np.random.default_rng(4)
    draws = np.array([model.sample_values(rows, rng) for _ in range(2000)])
    mean, sd = model.mean_sd(rows)
    whole = np.cov(draws.T)
    np.testing.assert_allclose(np.diag(whole), sd**2 + 0.05**2, rtol=0.12)
    assert np.abs(draws.mean(axis=0) - mean).max() < 0.02
    if not inducing:
        k = gp.kernel(rows, model.X, model.hyper)
        K = gp.kernel(model.X, model.X, model.hyper) + 0.05**2 * np.eye(40)
        exact = gp.kernel(rows, rows, model.hyper) - k @ np.linalg.solve(K, k.T) + 0.05**2 * np.eye(3)
        white = np.linalg.solve(np.linalg.cholesky(exact), (draws - mean).T)
        assert stats.kstest(white.ravel(), "norm").pvalue > 1e-3


def test_a_fantasy_leaves_the_marginals_as_they_were() -> None:
    """The mean over fantasies of the posterior mean is the posterior mean: nothing is known better by guessing."""
    model = posterior()
    rows, spots = np.array([[0.4, 0.4], [0.8, 0.1]]), np.array([[0.45, 0.42], [0.75, 0.2]])
    rng = np.random.default_rng(5)
    means = []
    for _ in range(1500):
        guess = model.sample_values(rows, rng)
        told = Posterior(np.concatenate([model.X, rows]), np.concatenate([model.y, guess]), model.hyper)
        means.append(told.mean(spots))
    spread = np.std(means, axis=0) / np.sqrt(1500)
    assert np.abs((np.mean(means, axis=0) - model.mean(spots)) / spread).max() < 4


def test_searches_end_where_scipy_ends() -> None:
    paths = sample.Paths(posterior(), 30, np.random.default_rng(6))
    starts = np.random.default_rng(7).random((30, 2))
    rows, values = sample.minimise(paths, starts, iterations=200)
    assert ((rows >= 0) & (rows <= 1)).all()
    differences = []
    for i, start in enumerate(starts):

        def one(x: np.ndarray, i: int = i) -> tuple[float, np.ndarray]:
            value, gradient = paths(x[None], np.array([i]))
            return value[0], gradient[0]

        found = minimize(one, start, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 2)
        differences.append(values[i] - found.fun)
        _, gradient = one(rows[i])
        inward = np.where((rows[i] <= 0) & (gradient > 0) | (rows[i] >= 1) & (gradient < 0), 0, gradient)
        assert np.abs(inward).max() < 1e-3
    assert np.median(np.abs(differences)) < 1e-5
    assert abs(np.mean(differences)) < 0.1  # either may end in another local minimum


def test_searches_do_not_amplify_errors_of_rounding() -> None:
    """Functions whose last digits differ, as between processors, have their minima found in the same places."""
    rng = np.random.default_rng(9)
    X = rng.random((31, 12))
    hyper = Hyper(mean=0.0, amplitude=1.0, noise=1e-3, lengths=np.full(12, 0.27))
    paths = sample.Paths(Posterior(X, ((X - 0.4) ** 2).sum(axis=1) - 1.5, hyper), 60, rng)

    def other(rows: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = paths(rows, which)
        noise = np.random.default_rng(len(rows))
        return (values * (1 + 1e-15 * noise.standard_normal(values.shape)),
                slopes * (1 + 1e-15 * noise.standard_normal(slopes.shape)))  # fmt: skip

    starts = rng.random((60, 12))
    once, again = (sample.minimise(batch, starts)[0] for batch in (paths, other))
    assert np.abs(once - again).max() < 1e-7
    for i in range(0, 60, 6):
        np.testing.assert_allclose(sample.polished(paths, once[i], i), sample.polished(other, again[i], i), atol=1e-9)


def test_searches_solve_a_narrow_valley() -> None:
    """Rosenbrock's function with its minimum on the boundary: axes must be let go and held again."""

    def batch(rows: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = rows.T
        value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        return value, np.column_stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])

    rows, values = sample.minimise(batch, np.random.default_rng(8).random((20, 2)), iterations=300)
    np.testing.assert_allclose(rows, 1.0, atol=1e-3)
    assert values.max() < 1e-6
