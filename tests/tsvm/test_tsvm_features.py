"""Explicit features and short steps: the same products as by the kernels, to the digits of the differences."""

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import kernels, layout
from tessera.tsvm.tasks import poisson_problem

N = 8
POLYNOMIALS = [
    kernels.Linear(),
    kernels.Polynomial(1),
    kernels.Polynomial(3),
    kernels.Polynomial(5),
    kernels.Branches(kernels.Polynomial(3), [[0, 1, 2, 3], [3, 4, 5]]),
    kernels.Branches(kernels.Linear(), [[0, 1], [1, 2]]),
    kernels.Interaction(np.exp(-np.abs(np.subtract.outer(np.arange(N), np.arange(N))) / 2.0)),
]
GAUSSIANS = [kernels.Gaussian(0.8), kernels.Branches(kernels.Gaussian(1.1), [[0, 1, 2, 3], [4, 5, 6, 7]])]


def points(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(6, N)) * 0.5 for _ in range(4)]


@pytest.mark.parametrize("kernel", POLYNOMIALS, ids=repr)
def test_features_have_the_kernel_as_their_product(kernel):
    x, u, *_ = points(1)
    features = kernel.monomials(N)
    rows = np.vstack([features.steps(np.zeros_like(x), x), features.slopes(x, u)])
    both, is_slope = (np.vstack([x, x]), np.vstack([u, u])), np.arange(12) >= 6
    gram = kernels.centred_gram(kernel, *both, is_slope, *both, is_slope)
    np.testing.assert_allclose(rows @ rows.T, gram, rtol=1e-12, atol=1e-12 * np.abs(gram).max())


@pytest.mark.parametrize("kernel", POLYNOMIALS, ids=repr)
def test_features_of_short_steps_keep_their_digits(kernel):
    x, u, *_ = points(2)
    features = kernel.monomials(N)
    long = features.steps(np.zeros_like(x), x + u) - features.steps(np.zeros_like(x), x)
    np.testing.assert_allclose(features.steps(x, u), long, rtol=0, atol=1e-12 * np.abs(long).max())
    slopes = features.slopes(x, u)
    np.testing.assert_allclose(features.steps(x, 1e-9 * u) / 1e-9, slopes, rtol=0, atol=1e-7 * np.abs(slopes).max())


@pytest.mark.parametrize("kernel", GAUSSIANS, ids=repr)
def test_products_of_steps_are_those_of_their_ends(kernel):
    x, d, y, e = points(3)
    expected = kernel.value(x + d, y + e) - kernel.value(x, y + e) - kernel.value(x + d, y) + kernel.value(x, y)
    np.testing.assert_allclose(kernel.steps(x, d, y, e), expected, atol=1e-14)
    slopes = kernel.first(x + d, y, e) - kernel.first(x, y, e)
    np.testing.assert_allclose(kernel.step_slopes(x, d, y, e), slopes, atol=1e-14)
    near = kernel.steps(x, 1e-7 * d, y, 1e-7 * e) / 1e-14
    np.testing.assert_allclose(near, kernel.mixed(x, d, y, e), rtol=0, atol=1e-6)
    far = kernel.steps(x, 1e3 * d, y, 1e-7 * e) / 1e-7  # one short, one beyond the kernel's reach
    np.testing.assert_allclose(far, -kernel.first(x, y, e), rtol=0, atol=1e-6)


def test_large_feature_spaces_are_refused():
    with pytest.raises(ValueError, match="degree 3 has 1,373,700 features of 200 afferents; expected at most 200,000"):
        kernels.Polynomial(3).monomials(200)


def test_steps_of_traces_keep_their_digits():
    spikes, _ = poisson_problem(np.random.default_rng(0), 20, 1)
    pieces = layout.build(spikes, [np.empty(0)], DoubleExponential(), 2.0, 0.0, scale=0.7)
    at, origins, patterns = np.array([120.0, 50.0, 30.0]), np.array([30.0, 80.0, 0.0]), np.zeros(3, dtype=int)
    long = pieces.traces(patterns, at)[0] - pieces.traces(patterns, origins)[0]
    np.testing.assert_allclose(pieces.steps(patterns, at, origins), long, atol=1e-14)
    ends = at - 2.0**-30
    slopes = pieces.traces(patterns, at)[1]
    np.testing.assert_allclose(pieces.steps(patterns, at, ends) * 2.0**30, slopes, atol=1e-8)
