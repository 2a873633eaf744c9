"""Spike counts of the two engines, the potential against its formula, and edge lists there and back."""

import numpy as np
import pytest

from tessera.balanced import brian, lif, samples, solvers

NEURON = lif.Neuron()


def potential(weight_at, neuron):
    """Potential (steps,) of a neuron below threshold, from the formula: weight_at {step: weight}."""
    times = (np.arange(neuron.steps) + 1) * neuron.dt
    total = np.zeros(neuron.steps)
    for step, weight in weight_at.items():
        age = np.where(times > step * neuron.dt, times - step * neuron.dt, np.inf)
        total += weight * neuron.gain * (np.exp(-age / neuron.tau_m) - np.exp(-age / neuron.tau_s))
    return total


def test_gain_makes_a_single_potential_peak_at_its_weight():
    assert NEURON.gain == pytest.approx(2.598076, abs=1e-6)
    assert potential({0: 0.7}, NEURON).max() == pytest.approx(0.7, rel=1e-5)


@pytest.mark.parametrize(("weight", "spikes"), [(0.99, 0), (1.01, 1)])
def test_threshold(weight, spikes):
    binned = np.zeros((NEURON.steps, 1))
    binned[5] = weight
    assert lif.spike_counts(binned, NEURON)[0] == spikes


def test_spike_takes_one_from_the_slow_part_only():
    # A strong input: after n spikes the potential is the formula's less n exp(-t/tau_m), so counts follow by hand.
    binned = np.zeros((NEURON.steps, 1))
    binned[0] = 5.0
    slow = fast = NEURON.gain * 5.0
    count = 0
    for _ in range(NEURON.steps):
        slow, fast = slow * np.exp(-NEURON.dt / NEURON.tau_m), fast * np.exp(-NEURON.dt / NEURON.tau_s)
        if slow - fast > 1:
            slow, count = slow - 1, count + 1
    assert count > 5
    assert lif.spike_counts(binned, NEURON)[0] == count


def test_poisson_input_has_its_mean_and_variance():
    rng = np.random.default_rng(0)
    w, rates = np.array([0.5, -0.25, 0.0]), np.tile([0.2, 0.1, 5.0], (4000, 1))
    total = lif.poisson_input(rng, w, rates, lif.Neuron(dt=1.0)).sum(0)
    assert total.mean() == pytest.approx(200 * (w @ rates[0]), abs=4 * total.std() / np.sqrt(4000))
    assert total.var() == pytest.approx(200 * (w**2 @ rates[0]), rel=0.1)


@pytest.mark.parametrize("seed", [0, 1])
def test_brian2_gives_the_same_counts(seed):
    pytest.importorskip("brian2")
    rng = np.random.default_rng(seed)
    task = samples.Task(rng.exponential(size=(60, 80)), samples.labels(rng, 60, 0.1), samples.signs_of(80, 0.8))
    w = solvers.max_kappa_out(*task, norm=1.5).w
    binned = lif.poisson_input(rng, w, 0.03 * task.X, NEURON)
    binned += lif.noise_input(rng, rng.normal(size=3000) * 2 / np.sqrt(3000), 60, NEURON)
    counts = lif.spike_counts(binned, NEURON)
    assert counts.sum() > 60
    np.testing.assert_array_equal(brian.spike_counts(binned, NEURON), counts)


def test_roc():
    assert lif.roc([3, 4, 5], [0, 1, 2])[2] == 1.0
    assert lif.roc([1, 1], [1, 1])[2] == 0.5
    plus, minus = np.array([2, 3, 3, 5]), np.array([0, 2, 3, 1, 1])
    pairs = np.sign(plus[:, None] - minus)
    alarms, hits, area = lif.roc(plus, minus)
    assert area == pytest.approx(np.mean(pairs == 1) + 0.5 * np.mean(pairs == 0))
    assert (alarms[0], hits[0], alarms[-1], hits[-1]) == (1, 1, 0, 0)
    at = [((plus > c).mean() + (minus <= c).mean()) / 2 for c in range(-1, 6)]
    assert lif.balanced_accuracy(alarms, hits) == pytest.approx(max(at))
    with pytest.raises(ValueError, match="both classes"):
        lif.roc([], [1])


def test_edges_there_and_back():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(7, 5)) * (rng.random((7, 5)) < 0.4)
    pre, post, weight = brian.to_edges(weights)
    assert np.all(weight != 0) and len(weight) == np.count_nonzero(weights)
    np.testing.assert_array_equal(brian.from_edges(pre, post, weight, (7, 5)), weights)
    with pytest.raises(ValueError, match="twice"):
        brian.from_edges([0, 0], [1, 1], [1.0, 2.0], (7, 5))
    with pytest.raises(ValueError, match="finite"):
        brian.to_edges(weights * np.nan)


def test_weights_in_brian2_are_the_matrix():
    b2 = pytest.importorskip("brian2")
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(6, 9)) * (rng.random((6, 9)) < 0.5)
    source = b2.SpikeGeneratorGroup(9, np.arange(9), np.zeros(9) * b2.ms, codeobj_class=b2.NumpyCodeObject)
    target = b2.NeuronGroup(6, "slow : 1\nfast : 1", codeobj_class=b2.NumpyCodeObject)
    synapses = brian.to_brian2(weights, source, target, codeobj_class=b2.NumpyCodeObject)
    rebuilt = brian.from_edges(np.array(synapses.i), np.array(synapses.j), np.array(synapses.w), (6, 9))
    np.testing.assert_array_equal(rebuilt, weights)
    network = b2.Network(source, target, synapses)
    network.run(0.2 * b2.ms)
    np.testing.assert_allclose(np.array(target.slow), weights @ np.ones(9), atol=1e-14)


def test_malformed_neuron_is_named():
    with pytest.raises(ValueError, match="tau_s"):
        lif.Neuron(tau_s=30.0)
    with pytest.raises(ValueError, match="two separate exponentials"):
        lif.Neuron(tau_s=30.0 * (1 - 1e-9))
    with pytest.raises(ValueError, match="dt"):
        lif.Neuron(dt=0.0)
    with pytest.raises(ValueError, match="window = inf"):
        lif.Neuron(window=np.inf)
    with pytest.raises(ValueError, match="rates"):
        lif.poisson_input(np.random.default_rng(0), [1.0], [[-1.0]], NEURON)


def test_the_area_below_the_mean_curve_is_the_mean_area():
    """Neurons whose counts are shifted as a whole: each is told apart with its own threshold, not with one for all."""
    rng = np.random.default_rng(1)
    neurons = [(rng.poisson(9, 100) + shift, rng.poisson(4, 900) + shift) for shift in (0, 5, 10)]
    curves = [lif.roc(*counts) for counts in neurons]
    alarms, hits = lif.mean_roc([curve[:2] for curve in curves])
    area = np.mean([curve[2] for curve in curves])
    assert np.trapezoid(hits, alarms) == pytest.approx(area, abs=1e-3)
    assert (alarms[0], hits[0], alarms[-1], hits[-1]) == (0, 0, 1, 1) and (np.diff(hits) >= 0).all()
    pooled = lif.roc(*(np.concatenate(counts) for counts in zip(*neurons, strict=True)))[2]
    assert area > pooled + 0.1
