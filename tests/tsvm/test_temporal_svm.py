"""TemporalSVM as users meet it: spikes at the desired times, soft margin, binary labels, refusals."""

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, kernels, layout, neuron, soft
from tessera.tsvm.tasks import jittered, poisson_problem, xor, xor_branches

PSP = DoubleExponential()


@pytest.fixture(scope="module")
def task():
    return poisson_problem(np.random.default_rng(0), 100, 3)


@pytest.fixture(scope="module")
def fitted(task):
    return TemporalSVM().fit(*task)


def test_the_free_neuron_fires_at_the_desired_times(task, fitted):
    spikes, targets = task
    assert fitted.status_ == "certified" and fitted.score(spikes, targets) == 1.0
    np.testing.assert_allclose(fitted.predict(spikes)[0], targets, atol=1e-7)
    # With resets at the targets: the neuron's own spikes are a rounding error before or after them.
    np.testing.assert_allclose(fitted.voltage(spikes, targets, [targets]), fitted.threshold_, rtol=1e-9)
    grid = np.arange(0.05, 300, 0.05)
    grid = grid[np.min(np.abs(grid[:, None] - targets), axis=1) > 1e-3]
    assert np.all(fitted.voltage(spikes, grid, [targets]) < fitted.threshold_)
    low, up = fitted.margin_
    assert 0 < low <= up <= low * (1 + 2e-6) and fitted.n_iter_ == len(fitted.history_)
    assert 1 / fitted.norm_ == pytest.approx(up, rel=1e-4)
    assert len(fitted.support_times_) == len(fitted.dual_coef_) == len(fitted.support_kinds_)


def test_simulation_against_a_plain_one(task):
    spikes, _ = task
    rng = np.random.default_rng(1)
    w = rng.normal(0.15, 0.4, 100)
    actual = neuron.simulate(w, 1.0, spikes, PSP)[0]
    times, neurons = spikes[0]
    t = np.arange(0, 300, 0.002)
    v, out = np.zeros(len(t)), []
    for at, i in zip(times, neurons, strict=True):
        v += w[i] * PSP(t - at)
    while (above := np.flatnonzero(v >= 1.0)).size:
        out.append(t[above[0]])
        late = slice(above[0], None)
        v[late] -= np.exp(-(t[late] - t[above[0]]) / 15.0)
    assert len(actual) == len(out) > 0
    np.testing.assert_allclose(actual, out, atol=0.05)


def test_a_small_perturbation_keeps_within_the_guarantee(task, fitted):
    spikes, targets = task
    rng = np.random.default_rng(2)
    for _ in range(20):
        shifts = fitted.predict(jittered(spikes, 0.01, rng))[0] - targets
        assert np.abs(shifts).max() < 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": "poly"},
        {"kernel": kernels.Branches(kernels.Polynomial(2), xor_branches(3, (0, 2), (1, 3)))},
        {"kernel": "gaussian", "sigma": 0.5},
        {"kernel": kernels.Interaction(np.ones((12, 12)))},
    ],
)
def test_kernel_neurons_fire_where_a_linear_one_cannot(options):
    spikes, targets = xor(3)
    model = TemporalSVM(scale=0.3, after_last=False, hold=0.0, **options).fit(spikes, targets)
    assert model.status_ == "certified" and model.coef_ is None
    out = model.predict(spikes)
    assert [len(times) for times in out][2:] == [0, 0]
    assert all(times[0] == pytest.approx(43.0, abs=1e-6) for times in out[:2])


def test_an_infeasible_task_is_a_status_and_has_a_soft_solution():
    spikes, targets = xor(3)
    model = TemporalSVM(scale=0.3, after_last=False).fit(spikes, targets)
    assert model.status_ == "infeasible" and model.margin_ is None
    with pytest.raises(ValueError, match="infeasible and has no weights"):
        model.predict(spikes)
    relaxed = TemporalSVM(scale=0.3, after_last=False, C=1.0).fit(spikes, targets)
    low, up = relaxed.objective_
    assert relaxed.status_ == "soft" and 0 <= low <= up * (1 + 1e-6)


def test_the_soft_optimum_is_certified_where_the_task_is_infeasible_or_nearly():
    spikes, targets = poisson_problem(np.random.default_rng(3), 20, 6)
    model = TemporalSVM(C=5.0).fit(spikes, targets)
    low, up = model.objective_
    assert 0 < up - low <= 1e-4 * up


def test_the_soft_margin_is_the_hard_one_at_large_c(task):
    spikes, targets = task
    hard = TemporalSVM(hold=2.0).fit(spikes, targets)
    pieces = layout.build(spikes, [targets], PSP, 2.0, 2.0, exact=False, margin_time=1e-3)
    from tessera.tsvm.spaces import LinearSpace

    large = soft.solve_soft(pieces, LinearSpace(pieces), 1e5, max_rounds=12)
    assert 1 / large.norm == pytest.approx(hard.margin_[1], rel=1e-3)
    assert large.up - large.low <= 1e-2 * large.up
    small = soft.solve_soft(pieces, LinearSpace(pieces), 0.05, max_rounds=12)
    assert small.slack > 0.1 and small.norm < large.norm


def test_matching_is_one_to_one():
    m = neuron.match(np.array([9.5, 10.5, 30.0]), np.array([10.0, 20.0]), 2.0)
    assert (m.hits, m.desired, m.actual) == (1, 2, 3) and m.f1 == pytest.approx(0.4) and not m.perfect
    assert neuron.match(np.empty(0), np.empty(0)).perfect


def test_bad_parameters_are_refused(task):
    for options, message in [
        ({"kernel": "cubic"}, "kernel is 'cubic'; expected one of linear, poly, gaussian"),
        ({"kernel": 3}, "kernel is 3"),
        ({"tau_c": -1.0}, "tau_c is -1.0"),
        ({"tau_m": 2.0}, "tau_m > tau_s"),
        ({"hold": -1.0}, "hold is -1.0"),
        ({"C": 0.0}, "C is 0.0"),
        ({"tol": 1e-9}, "tol is 1e-09"),
        ({"kernel": "gaussian", "sigma": 0.0}, "sigma is 0.0"),
        ({"scale": float("inf")}, "scale is inf"),
    ]:
        with pytest.raises(ValueError, match=message):
            TemporalSVM(**options).fit(*task)
    with pytest.raises(ValueError, match="not fitted"):
        TemporalSVM().predict(task[0])
