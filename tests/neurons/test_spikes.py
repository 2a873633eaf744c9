import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch


def batch(times, neurons, offsets=None, n=3, duration=50.0):
    times = np.asarray(times, dtype=float)
    return SpikeBatch(times, np.asarray(neurons), [0, len(times)] if offsets is None else offsets, n, duration)


def test_patterns_and_take():
    b = batch([1, 2, 3, 0, 4], [0, 1, 2, 2, 0], [0, 3, 5])
    assert len(b) == 2
    assert b.pattern(1)[0].tolist() == [0, 4]
    assert b.times.dtype == np.float64 and b.neurons.dtype == np.int32
    swapped = b.take([1, 0])
    assert swapped.times.tolist() == [0, 4, 1, 2, 3]
    assert b.take(np.array([False, True])).neurons.tolist() == [2, 0]


def test_dense_times_leave_silent_neurons_out():
    b = SpikeBatch.from_dense(np.array([[5.0, np.nan, 1.0], [2.0, 3.0, 2.0]]), 10)
    assert b.pattern(0)[0].tolist() == [1, 5] and b.pattern(0)[1].tolist() == [2, 0]
    assert b.pattern(1)[1].tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("times", "neurons", "offsets", "message"),
    [
        ([1, 2, 5, 4], [0, 1, 2, 0], [0, 2, 4], r"pattern 1: time 4.0 ms follows a later one"),
        ([1, 2, -5, 4], [0, 1, 2, 0], [0, 2, 4], r"pattern 1: time -5.0 ms is negative"),
        ([1, 50.5, 3], [0, 1, 2], [0, 2, 3], r"pattern 0: time 50.5 ms lies past the duration of 50.0 ms"),
        ([1, 2, np.nan], [0, 1, 2], [0, 2, 3], r"pattern 1: time nan ms is not finite"),
        ([1, 2], [0, 1], [0, 2, 2], r"pattern 1 has no spikes"),
        ([1, 2, 3], [0, 1, 3], [0, 2, 3], r"pattern 1: neuron 3 is outside 0..2"),
        ([1, 2], [0, -1], [0, 2], r"pattern 0: neuron -1 is outside"),
        ([1, 2], [0, 1], [0, 1], r"offsets must run from 0 to the 2 spikes"),
        ([1, 2], [0.0, 1.0], [0, 2], r"neurons are float64"),
        ([1, 2], [0], [0, 2], r"shapes"),
    ],
)
def test_bad_input_is_named(times, neurons, offsets, message):
    with pytest.raises(ValueError, match=message):
        batch(times, neurons, offsets)


def test_later_pattern_may_start_before_the_end_of_the_one_before():
    assert len(batch([10, 20, 1, 2], [0, 1, 0, 1], [0, 2, 4])) == 2


@pytest.mark.parametrize(("n", "duration"), [(0, 10.0), (3, 0.0), (3, np.inf)])
def test_bad_sizes(n, duration):
    with pytest.raises(ValueError, match="expected"):
        batch([0], [0], None, n, duration)


def test_kernel_golden_numbers():
    k = DoubleExponential()
    assert k.v0 == pytest.approx(2.116534735957599, rel=1e-14)
    assert k.peak_time == pytest.approx(5 * np.log(4), rel=1e-14)
    assert float(k(k.peak_time)) == pytest.approx(1, rel=1e-14)
    assert k.area == pytest.approx(23.8110, abs=1e-4)
    assert k.energy == pytest.approx(15.1191, abs=1e-4)
    assert k(np.array([-1.0, 0.0])).tolist() == [0, 0]


def test_kernel_integrals_and_autocovariance_are_those_of_the_kernel():
    k = DoubleExponential(20.0, 5.0)
    s = np.arange(0, 600, 0.01)
    assert k(s).sum() * 0.01 == pytest.approx(k.area, rel=1e-4)
    assert (k(s) ** 2).sum() * 0.01 == pytest.approx(k.energy, rel=1e-4)
    assert (k(s) * k(s + 7)).sum() * 0.01 / k.energy == pytest.approx(float(k.autocovariance(7)), rel=1e-4)
    h = 1e-3
    curvature = (2 * k.autocovariance(h) - 2 * k.autocovariance(0)) / h**2
    assert -curvature == pytest.approx(1 / k.correlation_time**2, rel=1e-3)


@pytest.mark.parametrize(("tau_m", "tau_s"), [(3, 5), (5, 0), (np.nan, 1), (5, -1)])
def test_kernel_refuses_wrong_time_constants(tau_m, tau_s):
    with pytest.raises(ValueError, match="tau_m > tau_s > 0"):
        DoubleExponential(tau_m, tau_s)
