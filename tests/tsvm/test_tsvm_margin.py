"""The search in continuous time against grids, and the layout against plain sums."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import exponentials, kernels, layout, margin, spaces
from tessera.tsvm.kernels import Expansion
from tessera.tsvm.targets import check_targets
from tessera.tsvm.tasks import poisson_problem

PSP = DoubleExponential(15.0, 3.75)


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=5),
    st.floats(0.1, 20),
    st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_zeros_of_exponential_sums(c, length, seed):
    c = np.array(c)
    r = np.sort(np.random.default_rng(seed).uniform(-1, 0.3, len(c))) + 0.01 * np.arange(len(c))
    roots = np.empty(len(c))
    zeros = roots[: exponentials.zeros(c, r, length, roots)]
    grid = np.linspace(0, length, 4001)
    values = np.exp(np.outer(grid, r)) @ c
    size = np.abs(np.exp(np.outer(zeros, r)) * c).sum(axis=1)
    assert np.all(np.abs(np.exp(np.outer(zeros, r)) @ c) <= 1e-9 * size)
    changes = np.flatnonzero(values[:-1] * values[1:] < 0)
    for i in changes:  # every change of sign that a grid sees is among the zeros
        assert np.any((zeros >= grid[i] - 1e-9) & (zeros <= grid[i + 1] + 1e-9))


def plain_rows(pieces, w, theta, t, d_of):
    """h or h+ at t by their definitions."""
    x = pieces.traces(np.zeros(len(t), dtype=int), t)[0]
    targets = pieces.targets
    r = np.array([np.exp(-(time - targets[targets < time]) / 15).sum() for time in t])
    if d_of is None:
        following = np.array([np.append(targets[targets >= time], np.inf)[0] for time in t])
        return (theta * (1 + r) - x @ w) / -np.expm1(-(following - t) / pieces.tau_c)
    without = r - np.exp(-(t - targets[d_of]) / 15)
    return (x @ w - theta * (1 + without)) / -np.expm1(-(t - targets[d_of]) / pieces.tau_c)


@pytest.mark.parametrize("tau_c", [2.0, 3.75, 15.0])
def test_the_worst_row_is_not_above_a_fine_grid(tau_c):
    rng = np.random.default_rng(7)
    spikes, targets = poisson_problem(rng, 30, 3)
    pieces = layout.build(spikes, [targets], PSP, tau_c, 2.0, exact=False, margin_time=0.01)
    space = spaces.LinearSpace(pieces)
    for _ in range(5):
        w, theta = rng.normal(size=30), 3.0
        potential = space.potential(w, np.empty(0))
        minima = margin.segment_minima(potential, pieces, theta, level=10.0)
        h, hold = minima.h, minima.hold
        edges = np.concatenate([[0.0], targets, [300.0]])
        for i, (a, b) in enumerate(itertools.pairwise(edges)):
            end = b - (0.01 if b < 300 else 0)  # where h is steepest: 1/g
            grid = np.append(np.arange(a + 1e-9, end, 0.01), end)
            least = plain_rows(pieces, w, theta, grid, None).min()
            assert h[i] <= min(least, 10.0) + 1e-9 * abs(least) and h[i] >= min(least, 10.0) - 0.05 * max(1, abs(least))
        for d, t in enumerate(targets):
            grid = np.arange(t + 0.01, min(t + 2.0, edges[d + 2]), 0.01)
            least = plain_rows(pieces, w, theta, grid, d).min()
            assert hold[d] <= min(least, 10.0) + 1e-9 * abs(least) and hold[d] >= min(least, 10.0) - 0.05 * max(
                1, abs(least)
            )


KERNELS = [
    kernels.Polynomial(2),
    kernels.Polynomial(4),
    kernels.Branches(kernels.Polynomial(3), [[0, 1, 2], [3, 4, 5, 0]]),
    kernels.Interaction(np.exp(-np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0))) / 3)),
    kernels.Gaussian(0.7),
    kernels.Branches(kernels.Gaussian(0.7), [[0, 1, 2, 3], [4, 5, 6, 7]]),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_kernel_potentials_between_events(kernel):
    rng = np.random.default_rng(8)
    spikes, targets = poisson_problem(rng, 8, 3, rate=2e-2)
    pieces = layout.build(spikes, [targets], PSP, 2.0, 2.0, scale=0.3, exact=False, margin_time=0.01)
    x, u = pieces.traces(np.zeros(5, dtype=int), rng.uniform(50, 250, 5))
    w = Expansion(x, u, rng.normal(size=5), rng.normal(size=5))
    atoms = np.append(w.values, w.derivs)
    gram = kernels.centred_gram(kernel, np.vstack([x, x]), np.vstack([u, u]), np.arange(10) > 4,
                                np.vstack([x, x]), np.vstack([u, u]), np.arange(10) > 4)  # fmt: skip
    norm = np.sqrt(atoms @ gram @ atoms)
    potential = spaces.potential_of(kernel, w, pieces, norm)
    t = rng.uniform(30, 290, 40)
    at = np.zeros(40, dtype=int)
    y, v = pieces.traces(at, t)

    def plain(points, velocities, is_slope):
        return atoms @ kernels.centred_gram(kernel, np.vstack([x, x]), np.vstack([u, u]), np.arange(10) > 4,
                                            points, velocities, np.full(len(points), is_slope))  # fmt: skip

    np.testing.assert_allclose(potential.values(at, t), plain(y, v, False), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(potential.slopes(at, t), plain(y, v, True), rtol=1e-8, atol=1e-9)
    minima = margin.segment_minima(potential, pieces, 1.0, level=1.0)
    h, hold = minima.h, minima.hold
    edges = np.concatenate([[0.0], targets, [300.0]])
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        end = b - (0.01 if b < 300 else 0)
        grid = np.append(np.arange(a + 1e-9, end, 0.05), end)
        r = np.array([np.exp(-(time - targets[targets < time]) / 15).sum() for time in grid])
        g = -np.expm1(-(np.append(targets, np.inf)[i] - grid) / 2.0)
        least = ((1 + r - potential.values(np.zeros(len(grid), dtype=int), grid)) / g).min()
        assert h[i] <= min(least, 1.0) + 1e-6 * max(1.0, abs(least))
        assert h[i] >= min(least, 1.0) - 0.05 * max(1.0, abs(least))
    assert np.all(hold <= 1.0)


def test_bad_targets_are_refused():
    spikes, _ = poisson_problem(np.random.default_rng(0), 5, 1, rate=5e-2)
    onset = spikes.times[0]
    for given_targets, message in [
        ([[np.nan]], "target nan ms is not finite"),
        ([[301.0]], r"target 301.0 ms is outside \(0, 300.0\]"),
        ([[-1.0]], "outside"),
        ([[onset / 2]], "is not after the first input"),
        ([[50.0, 50.0]], "is given twice"),
        ([[60.0, 50.0]], "follows a later one"),
        ([[50.0, 51.0]], "closer than min_interval = 2.0 ms"),
        ([[]], "no pattern has a target"),
        ([[50.0], [60.0]], "2 lists of targets for 1 patterns"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_targets(spikes, [np.array(times) for times in given_targets], 2.0)
