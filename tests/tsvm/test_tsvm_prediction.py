"""Predicted critical noise, noisy kernel neurons, the same neuron in Brian2, cues."""

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import TemporalSVM, brian, comparison, kernel_noise, prediction, robustness, speech
from tessera.tsvm.neuron import simulate
from tessera.tsvm.params import NeuronParams
from tessera.tsvm.tasks import poisson_problem, xor

PSP = DoubleExponential()
NEURON = NeuronParams(tau_m=15.0, tau_s=3.75, tau_c=2.0)


@pytest.fixture(scope="module")
def fitted():
    spikes, targets = poisson_problem(np.random.default_rng(0), 100, 3)
    model = TemporalSVM().fit(spikes, targets)
    return spikes, targets, model, model.coef_ / model.threshold_


def test_the_margin_at_threshold_1_is_that_of_the_fit(fitted):
    spikes, targets, model, w = fitted
    margin = prediction.threshold_margin(w, spikes, targets, PSP, 2.0, 2.0)
    assert margin / np.linalg.norm(w) == pytest.approx(model.margin_[0], rel=1e-6)
    level = prediction.by_margin(w, margin, spikes, PSP, "membrane")
    # The stationary sd is 1 threshold per unit, so that the level is the margin, a little more for the quiet start.
    assert margin < level < 1.1 * margin


@pytest.mark.parametrize("kind", robustness.KINDS)
def test_survival_foretells_the_critical_level(fitted, kind):
    spikes, targets, _, w = fitted
    noise = robustness.draws(kind, spikes, 200, np.random.default_rng(1))
    measured = comparison.critical(w, spikes, targets, PSP, kind, noise, 2.0)
    assert prediction.by_survival(w, spikes, targets, PSP, kind, 2.0) == pytest.approx(measured, rel=0.35)


def test_survival_gives_the_bound_that_does_not_bracket(fitted):
    spikes, targets, _, w = fitted
    assert prediction.by_survival(w, spikes, targets, PSP, "jitter", 2.0, low=5.0) == 5.0
    assert prediction.by_survival(w, spikes, targets, PSP, "jitter", 2.0, high=0.01) == 0.01


def test_disturbed_spikes_are_the_undisturbed_at_level_0(fitted):
    spikes, targets, _, w = fitted
    for kind in robustness.KINDS:
        noise = robustness.draws(kind, spikes, 2, np.random.default_rng(2))
        for out in robustness.spikes_under(w, 1.0, spikes, PSP, kind, 0.0, noise):
            assert out == pytest.approx(targets, abs=1e-6)


@pytest.mark.parametrize(
    "name", ["linear", "square, matched branches", "cube, one branch", "Gaussian, 0.5", "interaction"]
)
def test_potentials_on_a_grid_are_those_of_the_model(name):
    spikes, targets = xor(2)
    kernel = kernel_noise.xor_kernels(2)[name]
    options = {"C": 10.0} if name == "linear" else {}
    model = TemporalSVM(kernel, scale=0.3, after_last=False, hold=0.0, **options).fit(spikes, targets)
    t = np.arange(0.0, 100.0, 5.0)
    v = kernel_noise.potentials(model, spikes, t) * model.threshold_
    silent = [np.empty(0)] * len(spikes)
    assert v == pytest.approx(model.voltage(spikes, t, silent), abs=1e-8 * np.abs(v).max())


def test_right_is_one_spike_on_time_or_none():
    t = np.arange(0.0, 20.0, 0.5)
    v = np.zeros((4, len(t)))
    v[0, t == 10] = 1.2
    v[1, t == 4] = 1.2
    v[2, (t == 9) | (t == 11)] = 2.5
    fires = np.array([True, True, True, False])
    assert kernel_noise.correct(v, t, 10.0, fires, 15.0).tolist() == [True, False, False, True]
    assert kernel_noise.correct(v, t, 10.0, ~fires, 15.0).tolist() == [False, False, False, False]


def test_membrane_noise_is_stationary_after_a_while():
    noise = kernel_noise.membrane_noise(PSP, np.arange(0.0, 150.0, 0.5), 2000, np.random.default_rng(3))
    assert noise[:, 0] == pytest.approx(0) and noise[:, -1].std() == pytest.approx(1.0, abs=0.06)


def test_brian_refuses_what_its_grid_cannot_hold(fitted):
    spikes, _, _, w = fitted
    with pytest.raises(ValueError, match=r"off the grid of 0\.1 ms"):
        brian.free_run(w, 1.0, spikes, PSP, 0.1)
    with pytest.raises(ValueError, match=r"kicks 0\.5 ms apart"):
        brian.free_run(w, 1.0, brian.on_grid(spikes, 0.2), PSP, 0.2, np.zeros((1, 2)))


def test_brian_fires_within_a_step_of_the_exact_neuron(fitted):
    spikes, _, _, w = fitted
    coarse = brian.on_grid(spikes, 0.1)
    (theirs,) = brian.free_run(w, 1.0, coarse, PSP, 0.1)
    (ours,) = simulate(w, 1.0, coarse, PSP)
    assert len(theirs) == len(ours) > 0
    assert ((theirs - ours >= -1e-9) & (theirs - ours < 0.1)).all()


def test_a_cue_comes_before_every_end():
    spikes = SpikeBatch.from_dense(np.array([[5.0, 20.0], [1.0, 2.0]]), 40.0)
    cued = speech.with_cue(spikes, np.array([20.0, 30.0]), 3.0)
    assert cued.n_neurons == 3
    assert [cued[p][0][cued[p][1] == 2].tolist() for p in (0, 1)] == [[17.0], [27.0]]
    with pytest.raises(ValueError, match=r"lead is 3.* ends at 2"):
        speech.with_cue(spikes, np.array([20.0, 2.0]), 3.0)


def test_the_penalty_is_the_best_over_folds_and_the_smallest_among_equals():
    labels = np.repeat([1, -1], 6)
    rng = np.random.default_rng(0)

    def score(penalty, inside, outside):
        assert not (inside & outside).any() and labels[outside].sum() == 0
        return 1.0 if penalty >= 1 else 0.0

    assert speech.choose([10.0, 1.0, 0.1], 3, labels, score, rng) == 1.0
