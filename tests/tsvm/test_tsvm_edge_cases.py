"""Certificates of tasks at the edge: nearly infeasible, targets at the ends, equal patterns, silent afferents."""

import warnings

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import TemporalSVM
from tessera.tsvm.tasks import poisson_problem

PSP = DoubleExponential(15.0, 3.75)


@pytest.mark.parametrize("before_peak", [1e-3, 1e-5])
def test_a_small_margin_is_no_impossibility(before_peak):
    """One afferent: kappa = tau_c k'(t_d), which falls to 0 with the distance from the peak of the PSP."""
    spikes = SpikeBatch.from_patterns([(np.zeros(1), np.zeros(1, dtype=int))], 1, 60.0)
    target = PSP.peak_time - before_peak
    c = TemporalSVM(hold=0.0).fit(spikes, np.array([target])).certificate_
    rise = PSP.v0 * (np.exp(-target / PSP.tau_s) / PSP.tau_s - np.exp(-target / PSP.tau_m) / PSP.tau_m)
    assert c.status == "certified" and c.low <= 2.0 * rise * (1 + 1e-9) and 2.0 * rise <= c.up * (1 + 1e-9)


@pytest.mark.parametrize("options", [{"C": None}, {"C": 10.0}])
def test_the_worst_time_may_come_right_after_a_target(options):
    """Inhibition that arrives at the target: V falls from there on, and theta - V is least at once."""
    rng = np.random.default_rng(37)
    for _ in range(40):
        target = rng.uniform(1, 25)
        times = np.sort(np.append(rng.uniform(0, 20, 4), [0.5 * target, target]))
        spikes = SpikeBatch.from_patterns([(times, rng.integers(0, 4, 6))], 4, 300.0)
        for hold in (0.0, 2.0):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                model = TemporalSVM(hold=hold, **options).fit(spikes, np.array([target]))
            assert model.status_ in ("certified", "infeasible", "soft") and model.certificate_.gap <= 1e-4


@pytest.mark.parametrize("kernel", ["linear", "poly", "gaussian"])
def test_a_target_at_the_very_end_is_met(kernel):
    for seed in range(6):
        spikes, targets = poisson_problem(np.random.default_rng(seed), 60, 2, duration=150.0)
        targets = np.append(targets[targets < 140], 150.0)
        model = TemporalSVM(kernel, scale=0.3, hold=0.0).fit(spikes, targets)
        assert model.status_ == "certified" and model.score(spikes, targets) == 1.0
        assert model.predict(spikes)[0][-1] <= 150.0


@pytest.mark.parametrize("kernel", ["linear", "poly", "gaussian"])
def test_the_same_pattern_cannot_fire_and_stay_silent(kernel):
    spikes, targets = poisson_problem(np.random.default_rng(0), 40, 3)
    twice = SpikeBatch.from_patterns([spikes[0]] * 2, 40, 300.0)
    assert TemporalSVM(kernel, scale=0.3).fit(twice, [targets, np.empty(0)]).status_ == "infeasible"
    same = TemporalSVM(kernel, scale=0.3).fit(twice, [targets, targets])
    once = TemporalSVM(kernel, scale=0.3).fit(spikes, targets)
    assert same.margin_[1] == pytest.approx(once.margin_[1], rel=2e-6)


def test_silent_afferents_have_no_weight():
    spikes, targets = poisson_problem(np.random.default_rng(0), 100, 5)
    more = SpikeBatch.from_patterns([spikes[0]], 130, 300.0)
    for options in ({}, {"C": 10.0}):
        assert not TemporalSVM(**options).fit(more, targets).coef_[100:].any()


def test_rounds_are_at_least_one():
    task = poisson_problem(np.random.default_rng(0), 20, 1)
    for rounds in (0, -1, 1.5):
        for penalty in (None, 1.0):
            with pytest.raises(ValueError, match=f"max_rounds is {rounds}; expected a whole number of at least 1"):
                TemporalSVM(C=penalty, max_rounds=rounds).fit(*task)
    certificate = TemporalSVM(max_rounds=1).fit(*task).certificate_
    assert certificate.status in ("feasible", "undecided") and 0 <= certificate.low <= certificate.up < np.inf
