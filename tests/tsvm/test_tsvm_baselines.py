"""Other ways to weights, and the online rule: they do what they promise, and none has the larger margin."""

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, baselines, layout, online, robustness
from tessera.tsvm.margin import worst
from tessera.tsvm.neuron import match, simulate
from tessera.tsvm.spaces import LinearSpace
from tessera.tsvm.tasks import poisson_problem

PSP = DoubleExponential()


@pytest.fixture(scope="module")
def task():
    spikes, targets = poisson_problem(np.random.default_rng(0), 100, 3)
    return spikes, targets, TemporalSVM().fit(spikes, targets)


def margin(spikes, targets, w):
    """kappa(w, 1) with hold windows."""
    pieces = layout.build(spikes, [targets], PSP, 2.0, 2.0)
    return worst(LinearSpace(pieces).potential(w, np.empty(0)), pieces, 1.0).least / np.linalg.norm(w)


def fits(spikes, targets):
    return {
        "dead_zone": baselines.dead_zone(spikes, targets, PSP, 2.0, 2.0),
        "lp": baselines.largest_box_margin(spikes, targets, PSP, 2.0, 2.0),
        "vertex": baselines.random_corner(spikes, targets, PSP, 2.0, 2.0, np.random.default_rng(1)),
    }


def test_programmes_converge_to_the_spikes_with_less_margin(task):
    spikes, targets, model = task
    for name, fit in fits(spikes, targets).items():
        assert fit.converged, name
        out = match(simulate(fit.w, 1.0, spikes, PSP)[0], targets)
        assert out.perfect and np.abs(out.shifts).max() < 1e-6, name
        assert margin(spikes, targets, fit.w) <= model.margin_[1] * (1 + 1e-9), name


def test_the_box_margin_is_the_largest_where_the_largest_weight_counts(task):
    spikes, targets, model = task
    pieces = fits(spikes, targets)

    def of_box(w):
        return margin(spikes, targets, w) * np.linalg.norm(w) / np.abs(w).max()

    best = of_box(pieces["lp"].w)
    assert best >= of_box(model.coef_ / model.threshold_) * (1 - 1e-3)
    assert of_box(pieces["vertex"].w) == pytest.approx(baselines.CORNER * best, rel=0.02)


def test_the_perceptron_learns_an_easy_task(task):
    spikes, targets, _ = task
    fit = baselines.perceptron(spikes, targets, PSP)
    assert fit.converged and fit.steps < 50_000
    assert match(simulate(fit.w, 1.0, spikes, PSP)[0], targets, window=1.0).perfect
    assert not baselines.perceptron(spikes, targets, PSP, max_steps=3).converged


def test_least_squares_chooses_what_bears_the_noise(task):
    spikes, targets, _ = task
    noise = robustness.draws("jitter", spikes, 10, np.random.default_rng(2))
    fit = baselines.least_squares(spikes, targets, PSP, "jitter", 0.1, noise)
    tried = len(baselines.RIDGES) * len(baselines.WEIGHTS) * len(baselines.THRESHOLDS)
    assert fit.steps == tried
    assert robustness.trials(fit.w, 1.0, spikes, targets, PSP, "jitter", 0.1, noise).f1 > 0.8


def test_the_online_rule_comes_near_the_largest_margin_and_never_above(task):
    spikes, targets, model = task
    pieces = layout.build(spikes, [targets], PSP, 2.0, 2.0)
    w, theta, history = online.learn(pieces, 500)
    reached = worst(LinearSpace(pieces).potential(w / theta, np.empty(0)), pieces, 1.0).least / np.linalg.norm(
        w / theta
    )
    assert history[-1][1] == pytest.approx(reached, rel=1e-6)
    assert 0.9 * model.margin_[0] < reached <= model.margin_[1] * (1 + 1e-9)
    assert [margin for _, margin in history] == sorted(margin for _, margin in history)
    with pytest.raises(ValueError, match="steps is 0"):
        online.learn(pieces, 0)
