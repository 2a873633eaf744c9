"""Kernels: positive semi-definite with their derivatives, finite differences, refusals."""

import numpy as np
import pytest

from tessera.tsvm import kernels

N = 8
KERNELS = [
    kernels.Linear(),
    kernels.Polynomial(2),
    kernels.Polynomial(3),
    kernels.Gaussian(0.8),
    kernels.Branches(kernels.Polynomial(2), [[0, 1, 2, 3], [4, 5, 6, 7]]),
    kernels.Branches(kernels.Gaussian(1.1), [[0, 1, 2, 3], [4, 5, 6, 7]]),
    kernels.Interaction(np.exp(-np.abs(np.subtract.outer(np.arange(N), np.arange(N))) / 2.0)),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_blocks_of_points_and_derivatives_are_positive(kernel):
    rng = np.random.default_rng(1)
    x, u = rng.normal(size=(12, N)) * 0.5, rng.normal(size=(12, N))
    is_slope = np.arange(12) >= 6
    gram = kernels.centred_gram(kernel, x, u, is_slope, x, u, is_slope)
    np.testing.assert_allclose(gram, gram.T, atol=1e-12)
    assert np.linalg.eigvalsh(gram)[0] >= -1e-10 * np.trace(gram)
    rest = kernels.centred_gram(kernel, np.zeros((1, N)), np.zeros((1, N)), np.array([False]), x, u, is_slope)
    np.testing.assert_allclose(rest, 0.0, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_derivatives_by_finite_differences(kernel):
    rng = np.random.default_rng(2)
    x, u, y, v = (rng.normal(size=(3, N)) * 0.5 for _ in range(4))
    d = 1e-5
    first = (kernel.value(x, y + d * v) - kernel.value(x, y - d * v)) / (2 * d)
    np.testing.assert_allclose(kernel.first(x, y, v), first, atol=1e-6)
    mixed = (kernel.first(x + d * u, y, v) - kernel.first(x - d * u, y, v)) / (2 * d)
    np.testing.assert_allclose(kernel.mixed(x, u, y, v), mixed, atol=1e-6)


def test_bad_kernels_are_refused():
    for make, message in [
        (lambda: kernels.Polynomial(0), "degree is 0"),
        (lambda: kernels.Gaussian(-1.0), "sigma is -1.0"),
        (lambda: kernels.Gaussian(float("nan")), "sigma is nan"),
        (lambda: kernels.Interaction(np.ones((2, 3))), r"shape \(2, 3\)"),
        (lambda: kernels.Interaction(-np.eye(2)), "nowhere negative"),
        (lambda: kernels.Branches(kernels.Polynomial(2), []), "need groups"),
        (lambda: kernels.Branches(kernels.Polynomial(2), [[1, 1]]), "branch 0"),
        (lambda: kernels.check_afferents(kernels.Branches(kernels.Linear(), [[0, 9]]), 5), "afferent 9 is outside"),
        (lambda: kernels.check_afferents(kernels.Interaction(np.eye(3)), 5), "interaction is of 3 afferents"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
