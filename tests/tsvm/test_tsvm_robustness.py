"""Noise: the first-order prediction of timing, the critical level."""

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, robustness
from tessera.tsvm.tasks import poisson_problem

PSP = DoubleExponential()


@pytest.fixture(scope="module")
def fitted():
    spikes, targets = poisson_problem(np.random.default_rng(0), 100, 3)
    return spikes, targets, TemporalSVM().fit(spikes, targets)


@pytest.mark.parametrize(("kind", "level"), [("jitter", 0.02), ("synaptic", 0.005), ("membrane", 0.01)])
def test_small_noise_moves_spikes_as_predicted(fitted, kind, level):
    spikes, targets, model = fitted
    w, theta = model.coef_, model.threshold_
    noise = robustness.draws(kind, spikes, 1500, np.random.default_rng(1))
    trials = robustness.trials(w, theta, spikes, targets, PSP, kind, level, noise)
    sd = robustness.timing_noise(w, theta, spikes, PSP, kind, targets)
    # 1500 draws of three spikes give 2 % of their own, and what is left out is of the second order.
    assert trials.perfect == 1 and trials.shift == pytest.approx(level * np.sqrt((sd**2).mean()), rel=0.1)


def test_the_first_spike_moves_by_noise_over_slope_and_later_ones_with_it(fitted):
    spikes, targets, model = fitted
    w, theta = model.coef_, model.threshold_
    sigma = robustness.voltage_noise(w, theta, spikes, PSP, "jitter", targets[:1])[0]
    slope = np.diff(model.voltage(spikes, targets[0] + np.array([-1e-4, 0.0]), [targets])[0])[0] / 1e-4
    sd = robustness.timing_noise(w, theta, spikes, PSP, "jitter", targets)
    assert sd[0] == pytest.approx(sigma / slope, rel=1e-3)
    # Without what is left of the first reset the second spike would move otherwise.
    assert sd[1] != pytest.approx(robustness.timing_noise(w, theta, spikes, PSP, "jitter", targets[1:])[0], rel=1e-4)


def test_membrane_noise_has_the_variance_it_says(fitted):
    spikes = fitted[0]
    rng = np.random.default_rng(3)
    noise = robustness.draws("membrane", spikes, 4000, rng)
    at = robustness.kicks_at(spikes.duration)
    v = noise @ (robustness.kick_size(PSP) * PSP(200.0 - at))
    assert v.std() == pytest.approx(1.0, abs=0.04)  # 1 % is that of 4000 draws
    predicted = robustness.voltage_noise(np.zeros(100), 2.0, spikes, PSP, "membrane", np.array([0.0, 200.0]))
    assert predicted == pytest.approx([0.0, 2.0], rel=0.02)


def test_without_noise_there_is_no_error_and_with_much_there_is(fitted):
    spikes, targets, model = fitted
    noise = robustness.draws("jitter", spikes, 40, np.random.default_rng(2))

    def perfect(level):
        return robustness.trials(model.coef_, model.threshold_, spikes, targets, PSP, "jitter", level, noise).perfect

    assert perfect(0.0) == 1.0 and perfect(30.0) < 0.5
    level = robustness.critical_level(perfect)
    assert 1e-3 < level < 10 and perfect(level / 3) > 0.5 > perfect(3 * level)
    assert robustness.critical_level(lambda level: 0.0) == 1e-3 and robustness.critical_level(lambda level: 1.0) == 10


def test_unknown_noise_is_refused(fitted):
    with pytest.raises(ValueError, match="noise is 'thermal'; expected one of jitter, synaptic, membrane"):
        robustness.draws("thermal", fitted[0], 1, np.random.default_rng(0))
