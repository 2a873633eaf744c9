"""Noise: the first-order prediction of timing, the critical level, the perceptron."""

import numpy as np
import pytest

from tessera.common.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, robustness
from tessera.tsvm.tasks import poisson_problem

PSP = DoubleExponential()


@pytest.fixture(scope="module")
def fitted():
    spikes, targets = poisson_problem(np.random.default_rng(0), 100, 3)
    return spikes, targets, TemporalSVM().fit(spikes, targets)


@pytest.mark.parametrize(("kind", "level"), [("jitter", 0.02), ("synaptic", 0.005)])
def test_small_noise_moves_spikes_as_predicted(fitted, kind, level):
    spikes, targets, model = fitted
    noise = robustness.draws(kind, spikes, 1500, np.random.default_rng(1))
    found = robustness.trials(model.coef_, model.threshold_, spikes, targets[:1], PSP, kind, level, noise)
    sigma = robustness.voltage_noise(model.coef_, spikes, PSP, kind, targets[:1])[0]
    t = targets[0] + np.array([-1e-4, 0.0])
    slope = np.diff(model.voltage(spikes, t, [targets])[0])[0] / 1e-4
    # The first spike has no earlier one to move it: sigma_t = sigma_V / V'. 1500 draws give 2 % of their own.
    assert found.shift == pytest.approx(level * sigma / slope, rel=0.1)


def test_without_noise_there_is_no_error_and_with_much_there_is(fitted):
    spikes, targets, model = fitted
    noise = robustness.draws("jitter", spikes, 40, np.random.default_rng(2))

    def perfect(level):
        return robustness.trials(model.coef_, model.threshold_, spikes, targets, PSP, "jitter", level, noise).perfect

    assert perfect(0.0) == 1.0 and perfect(30.0) < 0.5
    level = robustness.critical_level(perfect)
    assert 1e-3 < level < 10 and perfect(level / 3) > 0.5 > perfect(3 * level)
    assert robustness.critical_level(lambda level: 0.0) == 1e-3 and robustness.critical_level(lambda level: 1.0) == 10


def test_the_perceptron_learns_an_easy_task(fitted):
    spikes, targets, _ = fitted
    w, steps = robustness.perceptron(spikes, targets, PSP)
    assert steps < 50_000
    noise = np.zeros((1, len(spikes.times)))
    assert robustness.trials(w, 1.0, spikes, targets, PSP, "jitter", 0.0, noise, window=1.0).perfect == 1.0


def test_unknown_noise_is_refused(fitted):
    with pytest.raises(ValueError, match="noise is 'thermal'; valid are jitter, synaptic"):
        robustness.draws("thermal", fitted[0], 1, np.random.default_rng(0))
