"""The figures show the numbers of the fit, with units."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from tessera.balanced import samples
from tessera.balanced.estimator import BalancedPerceptron
from tessera.neurons.figures import plot_convergence, plot_margin, plot_voltage, plot_weights
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron.learn import Tempotron
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.tasks import poisson_problem


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    figure.canvas.draw()
    plt.close(figure)


@pytest.fixture(scope="module")
def tempotron():
    rng = np.random.default_rng(0)
    X, y = SpikeBatch.from_dense(rng.uniform(0, 200, (30, 20)), 200.0), np.array(["no", "yes"])[np.arange(30) % 2]
    return Tempotron(threshold=2.0, learning_rate=1e-3, random_state=0).fit(X, y), X, y


@pytest.fixture(scope="module")
def tsvm():
    X, targets = poisson_problem(np.random.default_rng(0), 60, 2, duration=150.0)
    return TemporalSVM().fit(X, targets), X, [targets]


@pytest.fixture(scope="module")
def perceptron():
    X, y, signs = samples.binary(np.random.default_rng(0), 40, 20, 0.8, 0.5)
    return BalancedPerceptron(signs=signs).fit(X, y), X, y


def line(ax, start):
    """x and y of the line whose label starts like this."""
    (drawn,) = (line for line in ax.get_lines() if line.get_label().startswith(start))
    return drawn.get_xdata(), drawn.get_ydata()


def test_voltage_of_a_tempotron(ax, tempotron):
    model, X, _ = tempotron
    assert plot_voltage(model, X, 3, ax) is ax
    t, v = line(ax, "potential")
    np.testing.assert_allclose(v, model.voltage(X[[3]], t)[0] / 2)
    assert ax.get_xlabel() == "time (ms)" and ax.get_ylabel() == "potential (thresholds)"
    fires = model.decision_function(X)[3] >= 0
    (top,) = line(ax, f"largest potential: {'fires' if fires else 'silent'}")[1]
    assert top == pytest.approx(model.decision_function(X)[3] / 2 + 1, abs=1e-4)
    inputs = [line(ax, f"{kind} inputs")[0] for kind in ("excitatory", "inhibitory")]
    np.testing.assert_array_equal(np.sort(np.concatenate(inputs)), X[3][0])
    with pytest.raises(IndexError, match="out of bounds"):
        plot_voltage(model, X, 30, ax)


def test_voltage_of_a_silent_pattern(ax, tempotron):
    model, X, _ = tempotron
    plot_voltage(model, SpikeBatch.from_patterns([([], [])], X.n_neurons, 50.0), 0, ax)
    assert not line(ax, "potential")[1].any() and ax.get_xlim() == (0, 50)


def test_voltage_of_a_spiking_neuron(ax, tsvm):
    model, X, y = tsvm
    plot_voltage(model, X, 0, ax)
    np.testing.assert_allclose(line(ax, "output spike")[0], y[0], atol=1e-6)
    assert line(ax, "potential")[1].max() <= 1 + 1e-6
    ax.clear()
    plot_voltage(model, X, 0, ax, y)
    t, v = line(ax, "potential")
    np.testing.assert_array_equal(line(ax, "target")[0], y[0])
    assert v[np.searchsorted(t, y[0])] == pytest.approx(1) and v[np.searchsorted(t, y[0]) + 1] == pytest.approx(
        0, abs=1e-9
    )


def test_margins_of_classes(ax, tempotron, perceptron):
    model, X, y = tempotron
    plot_margin(model, X, y, ax)
    heights = sum(patch.get_height() for patch in ax.patches)
    assert heights == len(X) and not any(p.get_x() < 0 < p.get_x() + p.get_width() * 0.999 for p in ax.patches)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any(name.startswith("class yes, least margin") for name in names)
    ax.clear()
    model, X, y = perceptron
    plot_margin(model, X, y, ax)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert f"class 1.0, least margin {model.kappa_out_:.3g}" in names


def test_margins_over_time(ax, tsvm):
    model, X, y = tsvm
    plot_margin(model, X, y, ax)
    _, margin = line(ax, "margin of silence")
    assert np.nanmin(margin) == pytest.approx(1, abs=0.01)
    at, support = line(ax, "support times")
    assert set(at) <= set(model.support_times_) and support == pytest.approx(np.ones(len(at)), rel=1e-3)
    infeasible = TemporalSVM().fit(SpikeBatch.from_patterns([X[0]] * 2, 60, 150.0), [y[0], np.empty(0)])
    with pytest.raises(ValueError, match="infeasible"):
        plot_margin(infeasible, X, y, ax)


def test_weights(ax, tsvm, perceptron):
    for model in (tsvm[0], perceptron[0]):
        ax.clear()
        plot_weights(model, ax)
        drawn = sorted(float(y) for lines in ax.collections for (_, (_, y)) in lines.get_segments())
        np.testing.assert_allclose(drawn, np.sort(model.coef_[model.coef_ != 0]) / model.threshold_)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("afferent", "weight (thresholds)")
    bent = TemporalSVM("poly", scale=0.3, hold=0.0).fit(*tsvm[1:])
    with pytest.raises(ValueError, match="kernel is 'poly'"):
        plot_weights(bent, ax)


def test_convergence(ax, tempotron, tsvm, perceptron):
    plot_convergence(tempotron[0], ax)
    assert line(ax, "status: solved")[1][-1] == 0 and ax.get_ylabel() == "updates"
    ax.clear()
    plot_convergence(tsvm[0], ax)
    bounds = line(ax, "lower")[1], line(ax, "upper")[1]
    assert np.all(bounds[0] <= bounds[1]) and (bounds[0][-1], bounds[1][-1]) == tsvm[0].margin_
    with pytest.raises(ValueError, match="BalancedPerceptron keeps no history"):
        plot_convergence(perceptron[0], ax)
    with pytest.raises(NotFittedError):
        plot_convergence(Tempotron(), ax)
