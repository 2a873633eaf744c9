import gzip

import numpy as np
import pytest

from tessera.data import speech
from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import real_inputs
from tessera.tempotron.neuron import voltage


def test_latency_code_is_the_grey_level_again():
    grey = np.array([[0.0, 1.0, 0.25], [0.5, 0.5, 0.0625]])
    spikes = real_inputs.latency_code(grey, 100.0)
    assert spikes[0][0].tolist() == [0, 75] and spikes[0][1].tolist() == [1, 2]  # black is silent
    assert speech.first_spike_features(spikes) == pytest.approx(grey)
    with pytest.raises(ValueError, match=r"pattern 1: grey level 1\.5 of pixel 0"):
        real_inputs.latency_code(np.array([[1.0], [1.5]]), 100.0)


def test_parse_images():
    grey, digits = real_inputs.parse_images(gzip.compress(b"0,255,51,3\n255,0,0,8\n"))
    assert grey == pytest.approx(np.array([[0, 1, 0.2], [1, 0, 0]])) and digits.tolist() == [3, 8]
    for content in (b"not gzipped", gzip.compress(b"1,two,3\n"), gzip.compress(b"1,2,3\n")[:-9]):
        with pytest.raises(ValueError, match=r"digits: .*expected a gzipped table"):
            real_inputs.parse_images(content, "digits")


def test_contiguous_folds():
    assert real_inputs.contiguous_folds(np.zeros(7), 3).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert real_inputs.contiguous_folds(np.array([4, 9, 4, 9, 9]), 2).tolist() == [0, 0, 1, 0, 1]


def test_spike_times_and_windows():
    times = real_inputs.parse_spike_times("# a comment\n1000\n2500\n\n11000\n25000\n")
    assert times.tolist() == [1, 2.5, 11, 25]
    cut = real_inputs.windows([times], 10.0)
    assert [times.tolist() for times in cut] == [[1, 2.5], [1]]
    with pytest.raises(ValueError, match=r"r\.txt"):
        real_inputs.parse_spike_times("12\nx\n", "r.txt")
    with pytest.raises(ValueError, match="sorted"):
        real_inputs.parse_spike_times("12\n3\n")


def test_shuffled_windows_deal_out_every_window_once():
    cut = [np.array([1.0, 5.0]), np.array([2.0]), np.array([3.0, 4.0, 6.0])]
    spikes = real_inputs.shuffled_windows(cut, 20, 10.0, np.random.default_rng(0))
    for p in range(20):
        times, neurons = spikes[p]
        assert times.tolist() == [1, 2, 3, 4, 5, 6]
        assert sorted(np.bincount(neurons, minlength=3)) == [1, 2, 3]
    assert len({tuple(spikes[p][1]) for p in range(20)}) > 1


def test_potential_statistics_are_those_of_the_potential():
    rng = np.random.default_rng(4)
    cut = [np.sort(rng.uniform(0, 100, 8)) for _ in range(60)]
    spikes = real_inputs.shuffled_windows(cut, 300, 100.0, rng)
    weights = rng.normal(size=60)
    weights -= weights.mean()
    sigma, rate = real_inputs.potential_statistics(weights, spikes, DoubleExponential(), skip=30.0, points=20)
    grid = np.linspace(30, 100, 20)
    v = np.array([voltage(weights, spikes, p, grid) for p in range(300)])
    w = np.array([voltage(weights, spikes, p, grid - 1e-4) for p in range(300)])
    slope = (v - w) / 1e-4
    assert sigma == pytest.approx(np.sqrt(v.var(axis=0).mean()), rel=1e-6)
    assert rate == pytest.approx(np.sqrt(slope.var(axis=0).mean()) / sigma, rel=1e-2)
