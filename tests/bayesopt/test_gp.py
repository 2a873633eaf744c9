"""The Gaussian process: against scikit-learn's, finite differences, and the posterior on a grid."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from tessera.bayesopt import gp, hyperparameters
from tessera.bayesopt.gp import Hyper, Posterior


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.random((25, 3))
    y = np.sin(6 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(25)
    return X, (y - y.mean()) / y.std()


HYPER = Hyper(mean=0.0, amplitude=1.3, noise=0.2, lengths=np.array([0.3, 0.6, 1.5]))
THETA = np.array([0.0, 2 * np.log(1.3), 2 * np.log(0.2), *np.log([0.3, 0.6, 1.5])])


def reference(X: np.ndarray, y: np.ndarray) -> GaussianProcessRegressor:
    covariance = ConstantKernel(1.3**2) * Matern([0.3, 0.6, 1.5], nu=2.5) + WhiteKernel(0.2**2)
    return GaussianProcessRegressor(covariance, optimizer=None).fit(X, y)


def test_posterior_agrees_with_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    rows = np.random.default_rng(1).random((10, 3))
    mean, covariance = reference(X, y).predict(rows, return_cov=True)
    ours, sd = Posterior(X, y, HYPER).mean_sd(rows)
    np.testing.assert_allclose(ours, mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(sd, np.sqrt(np.diag(covariance) - 0.2**2), rtol=1e-6)


def test_likelihood_agrees_with_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    wanted = reference(X, y).log_marginal_likelihood_value_
    assert hyperparameters.log_likelihood(THETA, X, y) == pytest.approx(wanted, rel=1e-8)


def test_gradient_of_the_log_posterior(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    theta = THETA + 0.1
    _, gradient = hyperparameters.log_posterior(theta, X, y)
    numeric = approx_fprime(theta, lambda t: hyperparameters.log_posterior(t, X, y)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4)


def test_density_is_likelihood_and_priors() -> None:
    """The priors' densities by SciPy, in the coordinates that log_prior says."""

    def density(theta: np.ndarray) -> float:
        noise, lengths = np.exp(theta[2]), np.exp(theta[3:])
        return float(
            stats.norm.logpdf(theta[0])
            + stats.norm.logpdf(theta[1])
            + np.log(np.log(1 + (0.1 / noise) ** 2))
            + np.sum(stats.invgamma.logpdf(lengths, 1, scale=0.25) + theta[3:])
        )

    a, b = THETA, THETA + np.array([0.5, -0.3, 0.7, 0.2, -0.4, 0.1])
    assert hyperparameters.log_prior(b)[0] - hyperparameters.log_prior(a)[0] == pytest.approx(
        density(b) - density(a), rel=1e-9
    )


@pytest.mark.parametrize("inducing", [None, 15])
def test_slopes_of_the_posterior(data: tuple[np.ndarray, np.ndarray], inducing: int | None) -> None:
    X, y = data
    posterior = Posterior(X, y, HYPER, None if inducing is None else X[:inducing])
    rows = np.random.default_rng(2).random((4, 3))
    mean, sd, by_mean, by_sd = posterior.mean_sd_slopes(rows)
    np.testing.assert_allclose((mean, sd), posterior.mean_sd(rows), rtol=1e-10)
    for i, row in enumerate(rows):
        np.testing.assert_allclose(
            by_mean[i], approx_fprime(row, lambda x: posterior.mean(x[None])[0], 1e-6), atol=1e-4
        )
        numeric = approx_fprime(row, lambda x: posterior.mean_sd(x[None])[1][0], 1e-6)
        np.testing.assert_allclose(by_sd[i], numeric, atol=1e-4)


@pytest.mark.parametrize("inducing", [None, 15])
def test_distribution_of_a_partial_derivative(data: tuple[np.ndarray, np.ndarray], inducing: int | None) -> None:
    """That of the difference quotient, from the joint posterior of two near points."""
    X, y = data
    posterior = Posterior(X, y, HYPER, None if inducing is None else X[:inducing])
    row, step = np.array([0.3, 0.9, 0.5]), 1e-3
    rows = np.array([row - np.array([0, step / 2, 0]), row + np.array([0, step / 2, 0])])
    joint = _covariance(posterior, rows)
    mean = np.diff(posterior.mean(rows))[0] / step
    sd = np.sqrt(joint[0, 0] + joint[1, 1] - 2 * joint[0, 1]) / step
    np.testing.assert_allclose(posterior.partial(row, 1), (mean, sd), rtol=2e-3)


def _covariance(posterior: Posterior, rows: np.ndarray) -> np.ndarray:
    """From the variances of f(a), f(b) and, by linearity, of fantasies: here by direct formulas."""
    k = gp.kernel(rows, posterior.Z, HYPER)
    return gp.kernel(rows, rows, HYPER) - k @ _gain(posterior) @ k.T


def _gain(posterior: Posterior) -> np.ndarray:
    K = gp.kernel(posterior.Z, posterior.Z, HYPER)
    if posterior.exact:
        return np.linalg.inv(K + HYPER.noise**2 * np.eye(len(K)))
    cross = gp.kernel(posterior.Z, posterior.X, HYPER)
    inverse = np.linalg.inv(K)
    spare = HYPER.amplitude**2 - np.einsum("mn,mk,kn->n", cross, inverse, cross) + HYPER.noise**2
    return inverse - np.linalg.inv(K + cross @ np.diag(1 / spare) @ cross.T)


def test_inducing_on_all_data_is_exact(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    rows = np.random.default_rng(3).random((6, 3))
    exact, sparse = Posterior(X, y, HYPER), Posterior(X, y, HYPER, X)
    np.testing.assert_allclose(sparse.mean_sd(rows), exact.mean_sd(rows), rtol=1e-4)


def test_map_is_a_maximum(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    theta = hyperparameters.fit_map(X, y)
    top = hyperparameters.log_posterior(theta, X, y)[0]
    box = hyperparameters.bounds(3)
    rng = np.random.default_rng(4)
    for _ in range(50):
        other = np.clip(theta + 0.05 * rng.standard_normal(len(theta)), *box.T)
        assert hyperparameters.log_posterior(other, X, y)[0] <= top + 1e-6
    np.testing.assert_allclose(hyperparameters.fit_map(X, y, warm=theta), theta, atol=0.05)


@pytest.mark.slow
def test_slice_sampling_has_the_posterior_as_its_density() -> None:
    """Each coordinate's marginal, against weights on draws from the prior (self-normalised importance sampling)."""
    rng = np.random.default_rng(5)
    X = rng.random((6, 1))
    y = np.sin(4 * X[:, 0])
    y = (y - y.mean()) / y.std()
    theta, chain = hyperparameters.start(1), []
    for _ in range(1200):
        theta = hyperparameters.sample_slice(X, y, theta, 1, rng)
        chain.append(theta)
    found = np.array(chain[100:])
    box = hyperparameters.bounds(1)
    draws = np.column_stack(
        [
            rng.uniform(*box[0], 12000),
            rng.uniform(-6, box[1, 1], 12000),
            rng.uniform(*box[2], 12000),
            rng.uniform(*box[3], 12000),
        ]
    )
    density = np.array(
        [hyperparameters.log_likelihood(t, X, y) + hyperparameters.log_prior(t)[0] + t[2] for t in draws]
    )
    weights = np.exp(density - density.max())
    weights /= weights.sum()
    assert 1 / np.sum(weights**2) > 100
    wanted = weights @ draws
    spread = np.sqrt(weights @ (draws - wanted) ** 2)
    assert (found[:, 1] > -6).mean() > 0.999
    np.testing.assert_allclose(found.mean(axis=0), wanted, atol=0.2 * spread.max())
    np.testing.assert_allclose(found.std(axis=0), spread, rtol=0.25)


def test_inducing_rows_hold_the_best() -> None:
    y = np.random.default_rng(6).standard_normal(100)
    rows = gp.inducing_rows(np.zeros((100, 2)), y, 20, np.random.default_rng(0))
    assert len(set(rows.tolist())) == 20
    assert set(np.argsort(y)[:10].tolist()) <= set(rows.tolist())
