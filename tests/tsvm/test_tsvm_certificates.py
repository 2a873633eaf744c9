"""Certificates against an independent QP and LP, on random, degenerate, rescaled and nearly infeasible tasks."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.optimize import linprog, nnls

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import TemporalSVM, kernels, layout, solver, spaces
from tessera.tsvm.certificate import Certificate
from tessera.tsvm.cuts import Cuts
from tessera.tsvm.tasks import poisson_problem

PSP = DoubleExponential(15.0, 3.75)


def halves(n):
    """Two branches that share an afferent."""
    return [list(range(n // 2)), list(range(n // 2 - 1, n))]


def nearness(n):
    return np.exp(-np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / 3)


MAKE = {
    "linear": lambda n: kernels.Linear(),
    "square": lambda n: kernels.Polynomial(2),
    "cube": lambda n: kernels.Polynomial(3),
    "branches": lambda n: kernels.Branches(kernels.Polynomial(2), halves(n)),
    "interaction": lambda n: kernels.Interaction(nearness(n)),
}


def power(x, u, degree):
    """All products of `degree` factors of (1, x), and their derivatives along u, by Kronecker products."""
    ones, zeros = np.ones((len(x), 1)), np.zeros((len(x), 1))
    z, v = np.hstack([ones, x]), np.hstack([zeros, u])
    value, slope = ones, zeros
    for _ in range(degree):
        slope = (slope[:, :, None] * z[:, None] + value[:, :, None] * v[:, None]).reshape(len(x), -1)
        value = (value[:, :, None] * z[:, None]).reshape(len(x), -1)
    return value[:, 1:], slope[:, 1:]  # the first is 1: rest is taken out


def features(name, x, u):
    n = x.shape[1]
    if name == "linear":
        return x, u
    if name in ("square", "cube"):
        return power(x, u, 2 if name == "square" else 3)
    if name == "branches":
        parts = [power(x[:, group], u[:, group], 2) for group in halves(n)]
        return tuple(np.hstack(both) for both in zip(*parts, strict=True))
    root = np.sqrt(nearness(n))
    value = root * x[:, :, None] * x[:, None, :]
    slope = root * (u[:, :, None] * x[:, None, :] + x[:, :, None] * u[:, None, :])
    return value.reshape(len(x), -1), slope.reshape(len(x), -1)


def rows_of(name, pieces, cuts, steepest=1e5):
    """Rows (w, theta) >= 1 at the solver's cuts and on a grid of 1 ms, and equality rows, in units of the features.

    Cuts that a target relaxes to less than 1 / steepest are left to its slope row: they are an equality to several
    digits.
    """
    kept = (np.abs(cuts.weights) < steepest) | (cuts.kinds == "slope")
    patterns, times, kinds = [cuts.patterns[kept]], [cuts.times[kept]], [cuts.kinds[kept]]
    for p, end in enumerate(pieces.ends):
        t, desired = np.arange(0.5, end, 1.0), pieces.targets[pieces.target_pattern == p]
        t = t[np.all(np.abs(t[:, None] - desired) > 0.02, axis=1)]
        held = t[np.any((t[:, None] > desired) & (t[:, None] <= desired + pieces.hold), axis=1)]
        patterns += [np.full(len(t), p), np.full(len(held), p)]
        times += [t, held]
        kinds += [np.full(len(t), "h"), np.full(len(held), "hold")]
    where = [np.concatenate(parts) for parts in (patterns, times, kinds)]
    rows = Cuts()
    rows.extend(pieces, *where)
    value, slope = features(name, *pieces.traces(*where[:2]))
    at = features(name, *pieces.traces(pieces.target_pattern, pieces.targets))[0]
    phi = np.where((where[2] == "slope")[:, None], slope, value) * rows.weights[:, None]
    coordinates = np.linalg.qr(np.vstack([phi, at]).T, mode="r").T  # the span of the rows is all that w needs
    unit = np.linalg.norm(at, axis=1).max()
    phi, at = coordinates[: len(phi)] / unit, coordinates[len(phi) :] / unit
    return np.hstack([phi, rows.theta[:, None]]), np.hstack([at, -(1 + pieces.target_reset)[:, None]]), unit


def margin_by_qp(rows, equal, unit, near):
    """1/|w| of the least w, an upper bound on the margin in continuous time; w is sought in units of about 1/near.

    Least-distance programming by Lawson and Hanson's non-negative least squares: minimise |w| subject to G w >= h is
    the residual of (G^T; h^T) u - (0, ..., 0, 1) at its least, u >= 0.
    """
    of_theta = equal[0, :-1] / -equal[0, -1]
    rows = rows[:, :-1] + np.outer(rows[:, -1], of_theta)
    free = np.eye(len(of_theta))
    for row in equal[1:, :-1] + np.outer(equal[1:, -1], of_theta):
        left = row @ free
        if np.linalg.norm(left) > 1e-9:  # else the same as an earlier one
            free = free @ null_space(left[None])
    size = np.maximum(np.linalg.norm(rows, axis=1), 1.0)
    left = np.vstack([(rows / size[:, None] @ free).T, near / unit / size])
    unwanted = np.append(np.zeros(len(left) - 1), 1.0)
    residual = left @ nnls(left, unwanted, maxiter=10_000)[0] - unwanted
    return near / np.linalg.norm(residual[:-1] / residual[-1])


def least_row_by_lp(rows, equal):
    """The largest least row over |w_i| <= 1, by HiGHS; 0 if the task is infeasible."""
    n = rows.shape[1]
    solution = linprog(
        np.append(np.zeros(n), -1.0), np.hstack([-rows, np.ones((len(rows), 1))]), np.zeros(len(rows)),
        np.hstack([equal, np.zeros((len(equal), 1))]), np.zeros(len(equal)),
        [(-1, 1)] * (n - 1) + [(None, None)] * 2, method="highs",
    )  # fmt: skip
    return solution.x[-1]


def random_task(seed):
    """One to three patterns of 6 to 12 afferents with one to three targets each; a third pattern stays silent."""
    rng = np.random.default_rng([7, seed])
    n, count = int(rng.integers(6, 13)), 1 + seed % 3
    parts = [poisson_problem(rng, n, int(rng.integers(1, 4)), 120.0, rate=2e-2) for _ in range(count)]
    targets = [t[t > s.times[0]] for s, t in parts[:2]] + [np.empty(0)] * (count - 2)
    return SpikeBatch.from_patterns([s[0] for s, _ in parts], n, 120.0), targets


def solved(name, spikes, targets, hold=0.0, scale=0.3):
    pieces = layout.build(spikes, targets, PSP, 2.0, hold, scale)
    return pieces, solver.solve(pieces, spaces.space(pieces, MAKE[name](spikes.n_neurons)))


def agrees(name, pieces, solution):
    """Whether the certificate is right by the independent programmes."""
    c = solution.certificate
    rows, equal, unit = rows_of(name, pieces, solution.cuts)
    if c.status == "infeasible":
        return least_row_by_lp(rows, equal) <= 1e-6
    if c.low <= 1e-4 * c.size:  # undecided, or too small for the digits of the QP
        return True
    kappa = margin_by_qp(rows, equal, unit, c.up)
    if kappa > c.up * (1 + 1e-4):  # without some cuts the programme allows more
        kappa = margin_by_qp(*rows_of(name, pieces, solution.cuts, np.inf), c.up)
    return c.low <= kappa * (1 + 1e-4) and kappa <= c.up * (1 + 1e-4)


# 18 and 19 are at the edge: more targets than the afferents can serve.
SEEDS = [seed for seed in range(26) if seed not in (18, 19)]


def check_random_task(name, seed):
    pieces, solution = solved(name, *random_task(seed), hold=2.0 if seed % 2 == 0 else 0.0)
    c = solution.certificate
    assert agrees(name, pieces, solution), c
    if name in ("square", "cube") or c.up > 1e-6 * c.size:
        assert c.status in ("certified", "infeasible"), c
    return c.status


@pytest.mark.parametrize("name", ["square", "cube", "branches", "interaction"])
@pytest.mark.parametrize("seed", [4, 8, 17])
def test_kernel_margins_are_those_of_a_qp(name, seed):
    check_random_task(name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["square", "cube", "branches", "interaction"])
def test_kernel_margins_of_many_tasks_are_those_of_a_qp(name):
    statuses = [check_random_task(name, seed) for seed in SEEDS]
    assert statuses.count("certified") >= len(SEEDS) - (0 if name in ("square", "cube") else 2), statuses


@st.composite
def degenerate_tasks(draw):
    """Small tasks with accidents of real ones: equal or silent afferents, inputs at targets, equal patterns."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, count, duration = draw(st.integers(1, 6)), draw(st.integers(1, 2)), draw(st.sampled_from([30.0, 120.0]))
    patterns, targets = [], []
    for _ in range(count):
        times = rng.uniform(0, 20, draw(st.integers(2, 8)))
        desired = np.sort(rng.uniform(times.min() + 0.1, 25, draw(st.integers(0, 2))))
        if len(desired) == 2 and desired[1] - desired[0] < 2.1:
            desired = desired[:1]
        if draw(st.booleans()):
            times = np.append(times, desired)  # inputs that come at the targets
        neurons = rng.integers(0, n, len(times))
        if draw(st.booleans()):  # another afferent with the same spikes
            times, neurons = np.tile(times, 2), np.append(neurons, np.full(len(times), n))
        order = np.argsort(times, kind="stable")
        patterns.append((times[order], neurons[order]))
        targets.append(desired)
    if draw(st.booleans()):  # the first pattern again, with the same targets or to stay silent
        patterns.append(patterns[0])
        targets.append(targets[0] if draw(st.booleans()) else np.empty(0))
    if not any(len(times) for times in targets):
        targets[0] = np.array([duration])
    silent = draw(st.integers(0, 2))
    return SpikeBatch.from_patterns(patterns, n + 1 + silent, duration), targets


@settings(max_examples=60, deadline=None)
@given(degenerate_tasks(), st.sampled_from(sorted(MAKE)), st.sampled_from([0.0, 2.0]))
def test_certificates_of_degenerate_tasks_are_right(task, name, hold):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pieces, solution = solved(name, *task, hold=hold)
    assert agrees(name, pieces, solution), solution.certificate


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(degenerate_tasks(), st.sampled_from(sorted(MAKE)), st.sampled_from([0.0, 2.0]))
def test_certificates_of_many_degenerate_tasks_are_right(task, name, hold):
    pieces, solution = solved(name, *task, hold=hold)
    assert agrees(name, pieces, solution), solution.certificate


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(degenerate_tasks(), st.sampled_from([0.3, 1.0, 5.0]))
def test_gaussian_margins_are_proved_or_left_open(task, sigma):
    spikes, targets = task
    pieces = layout.build(spikes, targets, PSP, 2.0, 0.0, 0.3)
    c = solver.solve(pieces, spaces.space(pieces, kernels.Gaussian(sigma))).certificate
    small = solver.solve(pieces, spaces.space(pieces, kernels.Gaussian(0.3 * sigma))).certificate
    # A Gaussian kernel can do whatever tells patterns apart at all, whatever its width.
    assert not (c.status == "infeasible" and small.low > 0) and not (small.status == "infeasible" and c.low > 0)


@settings(max_examples=25, deadline=None)
@given(degenerate_tasks(), st.floats(-6, 6), st.sampled_from(["linear", "interaction"]))
def test_margins_scale_with_the_traces(task, exponent, name):
    scale = 10**exponent
    plain, scaled = solved(name, *task)[1], solved(name, *task, scale=0.3 * scale)[1]
    a, b = plain.certificate, scaled.certificate
    factor = scale if name == "linear" else scale**2
    if a.up > 1e-6 * a.size:  # below, rounding may decide whether the gap closes
        assert a.status == b.status
        assert b.up == pytest.approx(factor * a.up, rel=1e-5) and b.low == pytest.approx(factor * a.low, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(degenerate_tasks(), st.sampled_from([0.1, 10.0, 1e4]), st.floats(-4, 4))
def test_soft_optima_are_certified_at_any_scale(task, c, exponent):
    spikes, targets = task
    scale = 10**exponent
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fits = [TemporalSVM(C=c / s**2, scale=s, hold=0.0).fit(spikes, targets) for s in (1.0, scale)]
    low, up = (np.array(bound) for bound in zip(*(fit.objective_ for fit in fits), strict=True))
    assert np.all(up - low <= 2e-3 * up)
    assert up[1] * scale**2 == pytest.approx(up[0], rel=4e-3)


@pytest.mark.parametrize("c", [1e3, 1e4, 1e5])
def test_soft_optimum_of_spikes_that_repeat_one_another(c):
    """Rows that say nearly the same stalled the solver of the QP: gaps of 0.2 % at C = 1e4, 3 % at 1e5."""
    times = [1.07068644, 5.33665232, 8.16718195, 10.43370428, 13.5278675]
    both = [time for time in times for _ in range(2)]
    neurons = np.array([2, 3, 1, 3, 1, 3, 0, 3, 1, 3, 0, 2], np.int32)
    spikes = SpikeBatch(np.array([*both, 11.38237574, 19.28029496]), neurons, np.array([0, 10, 12]), 4, 120.0)
    fit = TemporalSVM(C=c, hold=0.0).fit(spikes, [np.array([21.0251327]), np.array([])])
    low, up = fit.objective_
    assert up - low <= 1e-4 * up
    assert c == 1e3 or up == pytest.approx(710.6472, rel=1e-4), "the hard margin's optimum, which needs no slack"


@pytest.mark.parametrize(
    ("status", "low", "up"),
    [
        ("certified", 0.0, 1.0),
        ("certified", 0.5, 1.0),
        ("feasible", 2.0, 1.0),
        ("feasible", 0.0, 1.0),
        ("infeasible", 0.0, 1.0),
        ("undecided", 0.5, 1.0),
        ("undecided", 0.0, np.inf),
        ("soft", 0.5, np.nan),
        ("solved", 0.5, 0.5),
    ],
)
def test_no_certificate_contradicts_itself(status, low, up):
    with pytest.raises(AssertionError, match=f"{status} contradicts|hold nothing"):
        Certificate(status, low, up, 1.0, 1.0, 1e-6)
