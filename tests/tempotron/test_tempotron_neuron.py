import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron.neuron import max_potential, max_potential_reference, psp, voltage

KERNEL = DoubleExponential()


def single_pattern(times, neurons, n, duration=500.0):
    return SpikeBatch.from_patterns([(np.asarray(times, float), np.asarray(neurons))], n, duration)


def test_golden_pattern():
    potential = max_potential(np.array([1, -0.5, 0.8]), single_pattern([10, 14, 20], [0, 1, 2], 3))
    assert potential.v_max[0] == pytest.approx(1.06018768705, abs=1e-11)
    assert potential.t_max[0] == pytest.approx(25.72504100799, abs=1e-10)


def test_a_single_spike_peaks_at_one():
    potential = max_potential(np.ones(1), single_pattern([3], [0], 1))
    assert potential.v_max[0] == pytest.approx(1, rel=1e-14)
    assert potential.t_max[0] == pytest.approx(3 + KERNEL.peak_time, rel=1e-14)


def test_the_end_of_the_pattern_cuts_the_rise():
    potential = max_potential(np.ones(1), single_pattern([3], [0], 1, duration=5))
    assert potential.v_max[0] == pytest.approx(float(KERNEL(2)), rel=1e-14)
    assert potential.t_max[0] == 5


def test_a_silent_neuron_has_maximum_zero_at_its_best_candidate():
    potential = max_potential(np.array([-1.0]), single_pattern([3], [0], 1, duration=40))
    assert potential.v_max[0] == 0
    assert potential.t_max[0] == 40


@st.composite
def cases(draw):
    n = draw(st.integers(1, 6))
    count = draw(st.integers(1, 25))
    grain = draw(st.sampled_from([0.001, 1.0, 7.0]))  # a coarse grain makes simultaneous spikes
    times = sorted(round(draw(st.floats(0, 100)) / grain) * grain for _ in range(count))
    neurons = [draw(st.integers(0, n - 1)) for _ in range(count)]
    weights = [draw(st.floats(-2, 2)) for _ in range(n)]
    return np.array(weights), single_pattern(np.minimum(times, 100), neurons, n, duration=100.0)


@settings(max_examples=150, deadline=None)
@example(
    (np.array([-1.0, 1.0]), single_pattern([0.0, 0.312, 1.0], [1, 0, 0], 2, duration=100.0))
)  # the maximum is at a spike
@given(cases())
def test_compiled_equals_reference_and_dense_grid(case):
    weights, spikes = case
    fast, slow = max_potential(weights, spikes), max_potential_reference(weights, spikes)
    assert fast.v_max == pytest.approx(slow.v_max, rel=1e-12, abs=1e-12)
    # Between spikes the potential is smooth; at a spike its slope jumps, and the maximum may be there.
    grid = np.union1d(np.linspace(0, 100, 20001), spikes.times)
    v = voltage(weights, spikes, 0, grid)
    assert fast.v_max[0] >= v.max() - 1e-12
    assert fast.v_max[0] == pytest.approx(v.max(), abs=2e-5 * np.abs(weights).max() * len(spikes.times) + 1e-12)
    if fast.v_max[0] > 1e-9:
        at = voltage(weights, spikes, 0, fast.t_max)
        assert at[0] == pytest.approx(fast.v_max[0], rel=1e-9, abs=1e-12)


def test_fine_grid_to_a_millionth():
    rng = np.random.default_rng(5)
    spikes = SpikeBatch.from_dense(rng.uniform(0, 100, (3, 40)), 100.0)
    weights = rng.normal(size=40)
    grid = np.arange(0, 100, 0.001)  # and the spikes, where V has kinks that a grid misses by O(step)
    dense = [voltage(weights, spikes, p, np.r_[grid, spikes[p][0]]).max() for p in range(3)]
    assert max_potential(weights, spikes).v_max == pytest.approx(dense, abs=1e-6)


def test_gradient_by_the_envelope_theorem():
    rng = np.random.default_rng(6)
    spikes = SpikeBatch.from_dense(rng.uniform(0, 200, (4, 30)), 200.0)
    weights = rng.normal(size=30)
    gradient = psp(spikes, max_potential(weights, spikes).t_max)
    step = 1e-6
    for i in range(30):
        up, down = weights.copy(), weights.copy()
        up[i] += step
        down[i] -= step
        difference = (max_potential(up, spikes).v_max - max_potential(down, spikes).v_max) / (2 * step)
        assert gradient[:, i] == pytest.approx(difference, abs=1e-6)


def test_long_patterns_do_not_overflow():
    """T/tau_s is 2.7e5 here; sums of exp(t/tau_s) overflow from 709 on."""
    rng = np.random.default_rng(7)
    spikes = single_pattern(np.sort(rng.uniform(0, 1e6, 2000)), rng.integers(50, size=2000), 50, 1e6)
    weights = rng.normal(size=50)
    potential = max_potential(weights, spikes)
    near = np.linspace(potential.t_max[0] - 50, potential.t_max[0] + 50, 10001)
    assert potential.v_max[0] == pytest.approx(voltage(weights, spikes, 0, near).max(), abs=1e-5)
    shifted = single_pattern(spikes.times + 9e6, spikes.neurons, 50, 1e7)
    assert max_potential(weights, shifted).v_max == pytest.approx(potential.v_max, rel=1e-7)


@pytest.mark.parametrize("duration", [100.0, 11_200.0, 1e5, 1e6, 1e9])
@pytest.mark.parametrize("excess", [0.0, 1e-12, 1e-6, 3.0, 100.0])
def test_a_lone_spike_peaks_at_one_however_long_the_pattern(duration, excess):
    kernel = DoubleExponential(3.75 * (1 + excess), 3.75)
    potential = max_potential(np.ones(1), single_pattern([0], [0], 1, duration), kernel)
    assert potential.v_max[0] == pytest.approx(1, rel=1e-12)
    assert potential.t_max[0] == pytest.approx(kernel.peak_time, rel=1e-12)
    late = max_potential(np.array([-0.5, 1.0]), single_pattern([0, duration - 50], [0, 1], 2, duration), kernel)
    silent = max_potential(-np.ones(1), single_pattern([0], [0], 1, duration), kernel)
    assert late.t_max[0] > duration - 50 and silent.v_max[0] == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-15, 1e-9, 1e-4, 0.5, 3.0]), st.sampled_from([0, 1e3, 1e6]))
def test_every_ratio_and_shift_against_a_dense_grid(seed, excess, shift):
    """Bursts with silences of up to 1e6 ms between them, which no trace survives."""
    rng = np.random.default_rng(seed)
    kernel = DoubleExponential(5 * (1 + excess), 5.0)
    times = np.sort(rng.uniform(0, 40, 12)) + np.repeat([0, rng.choice([0, 300.0, 2e4, 1e6])], 6)
    neurons, weights = rng.integers(4, size=12), rng.normal(size=4)
    spikes = single_pattern(times, neurons, 4, times[-1] + 100)
    potential, slow = (solve(weights, spikes, kernel) for solve in (max_potential, max_potential_reference))
    # The reference and a direct sum; where V is silent, its best candidate may be any of many zeros.
    assert potential.v_max == pytest.approx(slow.v_max, rel=1e-11, abs=1e-13)
    grid = np.unique((times[:, None] + np.linspace(0, 100, 1001)).ravel())
    dense = max(voltage(weights, spikes, 0, grid[grid <= spikes.duration], kernel).max(), 0)
    assert dense - 1e-9 <= potential.v_max[0] <= dense + 2e-4
    if potential.v_max[0] > 1e-6:
        assert voltage(weights, spikes, 0, potential.t_max, kernel)[0] == pytest.approx(potential.v_max[0], rel=1e-9)
        gradient = psp(spikes, potential.t_max, kernel)[0]
        assert gradient @ weights == pytest.approx(potential.v_max[0], rel=1e-9)
    shifted = max_potential(weights, single_pattern(times + shift, neurons, 4, spikes.duration + shift), kernel)
    assert shifted.v_max == pytest.approx(potential.v_max, rel=1e-7, abs=1e-9)
    if potential.v_max[0] > 1e-6:
        assert voltage(weights, spikes, 0, shifted.t_max - shift, kernel)[0] == pytest.approx(
            potential.v_max[0], rel=1e-7
        )


def test_maximum_is_homogeneous_and_additive_in_duplicated_afferents():
    rng = np.random.default_rng(8)
    spikes = SpikeBatch.from_dense(rng.uniform(0, 100, (5, 20)), 100.0)
    weights = rng.normal(size=20)
    base = max_potential(weights, spikes).v_max
    assert max_potential(3.7 * weights, spikes).v_max == pytest.approx(3.7 * base, rel=1e-12)


def test_extreme_weights_stay_finite():
    spikes = single_pattern([1, 2, 3], [0, 1, 2], 3)
    for scale in (1e-300, 1e200):
        potential = max_potential(scale * np.array([1, -0.5, 0.8]), spikes)
        assert potential.v_max[0] / scale == pytest.approx(
            max_potential(np.array([1, -0.5, 0.8]), spikes).v_max[0], rel=1e-9
        )


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0, np.nan, 0.0], "weight 1 is nan"), ([1.0, 2.0], r"expected \(3,\)"), ([1, np.inf, 0], "weight 1 is inf")],
)
def test_bad_weights_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        max_potential(np.array(weights), single_pattern([1], [0], 3))
