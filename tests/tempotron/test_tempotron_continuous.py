import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import toeplitz
from scipy.optimize import nnls

from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import continuous, theory
from tessera.tempotron.maximum import process_paths

KERNEL = DoubleExponential()
INDEPENDENT = np.r_[1.0, np.zeros(9)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-0.5, 2.0))
def test_silence_cost_is_the_non_negative_least_squares_of_another_solver(seed, theta):
    z = next(process_paths(10, 3, np.random.default_rng(seed), KERNEL, 1.0))
    covariance = KERNEL.autocovariance(np.arange(z.shape[1]))
    factor = np.linalg.cholesky(toeplitz(covariance))
    expected = []
    for row in z:
        force, _ = nnls(factor.T, np.linalg.solve(factor, row - theta))
        expected.append(2 * force @ (row - theta) - force @ toeplitz(covariance) @ force)
    assert continuous.silence_cost(z, theta, covariance) == pytest.approx(np.array(expected), abs=1e-6)


def test_independent_times_cost_their_squared_excess():
    z = np.random.default_rng(0).normal(size=(50, 10))
    expected = (np.maximum(z - 0.7, 0) ** 2).sum(axis=1)
    assert continuous.silence_cost(z, 0.7, INDEPENDENT) == pytest.approx(expected, abs=1e-12)


def test_independent_times_have_the_capacity_of_bins():
    z = np.random.default_rng(0).normal(size=(20_000, 10))
    capacity = continuous.optimal(z, INDEPENDENT, theory.median_threshold(10))
    assert abs(capacity.alpha - theory.zero_overlap(10).alpha) < 3 * capacity.error < 0.1
    assert capacity.theta == pytest.approx(1.484, abs=0.15)


def test_golden_capacity():
    """3.13 at K = 10, measured once with 3000 other traces and a coarse grid of theta, +-0.1."""
    capacity = continuous.zero_overlap(10, 3000, np.random.default_rng(0), KERNEL, 1.0)
    assert capacity.alpha == pytest.approx(3.13, abs=0.2) and 0.02 < capacity.error < 0.1


def test_standard_error_is_that_of_repetitions():
    samples = [continuous.zero_overlap(5, 400, np.random.default_rng(seed), KERNEL, 2.0) for seed in range(40)]
    spread = np.std([sample.alpha for sample in samples], ddof=1)
    assert np.mean([sample.error for sample in samples]) == pytest.approx(spread, rel=0.4)


def test_bad_input():
    with pytest.raises(ValueError, match="K is 1"):
        continuous.zero_overlap(1, 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"expected \(n, G\) and \(G,\)"):
        continuous.silence_cost(np.zeros((2, 5)), 1.0, np.ones(4))
