import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import tasks


def test_single_has_one_spike_an_afferent_uniform_in_time():
    spikes = tasks.spike_patterns("single", 40, 200, 300.0, np.random.default_rng(0))
    assert all(sorted(spikes[p][1]) == list(range(40)) for p in range(200))
    assert spikes.times.mean() == pytest.approx(150, abs=5)


def test_poisson_has_one_spike_an_afferent_on_average():
    spikes = tasks.spike_patterns("poisson", 40, 500, 300.0, np.random.default_rng(0))
    counts = np.array([np.bincount(spikes[p][1], minlength=40) for p in range(500)])
    assert counts.mean() == pytest.approx(1, abs=0.03)
    assert counts.var() == pytest.approx(1, abs=0.05)  # as a Poisson count


def test_synchrony_is_one_volley_of_half_of_the_afferents():
    spikes = tasks.spike_patterns("synchrony", 41, 10, 300.0, np.random.default_rng(0))
    assert set(spikes.times) == {150.0}
    assert (np.diff(spikes.offsets) == 20).all()


def test_a_poisson_pattern_without_spikes_is_drawn_again():
    spikes = tasks.spike_patterns("poisson", 1, 300, 100.0, np.random.default_rng(0))
    assert (np.diff(spikes.offsets) >= 1).all()


def test_labels():
    rng = np.random.default_rng(0)
    assert set(tasks.labels(50, rng)) == {-1, 1}
    assert tasks.labels(51, rng, balanced=True).sum() == -1
    fair = [tasks.labels(20, rng).sum() for _ in range(500)]
    assert np.var(fair) == pytest.approx(20, rel=0.25)


def test_duration_and_unknown_ensemble():
    assert tasks.duration(66.7, DoubleExponential()) == pytest.approx(500.25)
    with pytest.raises(ValueError, match="ensemble is 'burst'"):
        tasks.spike_patterns("burst", 3, 3, 10.0, np.random.default_rng(0))
