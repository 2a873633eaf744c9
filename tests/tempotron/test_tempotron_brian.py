import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron import brian, tasks
from tessera.tempotron.neuron import max_potential, voltage

KERNEL = DoubleExponential()


def case(dt=0.1):
    rng = np.random.default_rng(0)
    spikes = brian.on_grid(tasks.spike_patterns("single", 30, 6, 60.0, rng), dt)
    weights = rng.normal(size=30)
    return spikes, weights / np.median(max_potential(weights, spikes).v_max)  # so half of the patterns fire


def check(device):
    spikes, weights = case()
    simulated = brian.forward(weights, spikes, KERNEL, 1.0, 0.1, device)
    ours = np.array([voltage(weights, spikes, p, simulated.times) for p in range(6)])
    assert np.abs(ours - simulated.v).max() < 1e-12
    exact = max_potential(weights, spikes).v_max
    bound = brian.grid_error(weights, spikes, KERNEL, 0.1)
    assert ((exact - np.maximum(simulated.v.max(axis=1), 0)) <= bound + 1e-12).all()
    certain = np.abs(exact - 1) > bound
    assert certain.any() and {True, False} == set((exact >= 1).tolist())
    assert np.array_equal(simulated.fires[certain], exact[certain] >= 1)


def test_runtime_has_the_same_potential_and_decisions():
    check("runtime")


@pytest.mark.slow
def test_standalone_has_the_same_potential_and_decisions():
    check("cpp_standalone")


def test_on_grid_stays_sorted_and_inside():
    spikes = SpikeBatch.from_dense(np.array([[0.04, 9.99, 10.0]]), 10.0)
    moved = brian.on_grid(spikes, 0.1)
    assert moved.times == pytest.approx([0, 10, 10])


def test_grid_error_bounds_a_coarse_grid():
    spikes, weights = case(1.0)
    grid = np.arange(0, 61, 1.0)
    seen = [max(voltage(weights, spikes, p, grid).max(), 0) for p in range(6)]
    gap = max_potential(weights, spikes).v_max - seen
    assert (gap <= brian.grid_error(weights, spikes, KERNEL, 1.0)).all() and gap.max() > 0


def test_spikes_off_the_grid_are_refused():
    spikes = SpikeBatch.from_dense(np.array([[0.1, 0.2], [0.1, 0.25]]), 10.0)
    with pytest.raises(ValueError, match=r"pattern 1: time 0\.25 ms is off the grid"):
        brian.forward(np.ones(2), spikes, KERNEL, dt=0.1)
