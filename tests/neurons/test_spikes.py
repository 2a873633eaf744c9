import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import _safe_indexing, indexable

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch, check_spikes


def batch(times, neurons, offsets=None, n=3, duration=50.0):
    times = np.asarray(times, dtype=float)
    return SpikeBatch(times, np.asarray(neurons), [0, len(times)] if offsets is None else offsets, n, duration)


def random_batch(seed, p=7, n=4):
    """Patterns of different length, some without spikes."""
    rng = np.random.default_rng(seed)
    durations = rng.uniform(5, 20, p)
    counts = rng.integers(0, 4, p)
    pairs = [(np.sort(rng.uniform(0, t, c)), rng.integers(n, size=c)) for t, c in zip(durations, counts, strict=True)]
    return SpikeBatch.from_patterns(pairs, n, durations)


def test_patterns_are_rows():
    b = batch([1, 2, 3, 0, 4], [0, 1, 2, 2, 0], [0, 3, 5])
    assert len(b) == 2
    assert b[1][0].tolist() == [0, 4]
    assert b.times.dtype == np.float64 and b.neurons.dtype == np.int32
    swapped = b[[1, 0]]
    assert swapped.times.tolist() == [0, 4, 1, 2, 3]
    assert b[np.array([False, True])].neurons.tolist() == [2, 0]


def test_dense_times_leave_silent_neurons_out():
    b = SpikeBatch.from_dense(np.array([[5.0, np.nan, 1.0], [2.0, 3.0, 2.0]]), 10)
    assert b[0][0].tolist() == [1, 5] and b[0][1].tolist() == [2, 0]
    assert b[1][1].tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("times", "neurons", "offsets", "message"),
    [
        ([1, 2, 5, 4], [0, 1, 2, 0], [0, 2, 4], r"pattern 1: time 4.0 ms follows a later one"),
        ([1, 2, -5, 4], [0, 1, 2, 0], [0, 2, 4], r"pattern 1: time -5.0 ms is negative"),
        ([1, 50.5, 3], [0, 1, 2], [0, 2, 3], r"pattern 0: time 50.5 ms lies past the duration of 50.0 ms"),
        ([1, 2, np.nan], [0, 1, 2], [0, 2, 3], r"pattern 1: time nan ms is not finite"),
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


def test_a_pattern_may_be_silent_and_durations_may_differ():
    b = SpikeBatch.from_patterns([([1.0], [0]), ([], []), ([8.0], [1])], 2, [5.0, 2.0, 8.0])
    assert b.counts.tolist() == [1, 0, 1] and b.durations.tolist() == [5, 2, 8] and b.duration == 8
    assert b[1][0].size == 0
    with pytest.raises(ValueError, match=r"pattern 0: time 6.0 ms lies past the duration of 5.0 ms \(neuron 0\)"):
        SpikeBatch.from_patterns([([6.0], [0]), ([], [])], 2, [5.0, 8.0])
    with pytest.raises(ValueError, match=r"pattern 1: duration is -1.0 ms"):
        SpikeBatch.from_patterns([([1.0], [0]), ([], [])], 2, [5.0, -1.0])
    with pytest.raises(ValueError, match=r"duration has shape \(3,\); expected one number, or \(2,\)"):
        SpikeBatch.from_patterns([([1.0], [0]), ([], [])], 2, [5.0, 8.0, 9.0])


@given(st.integers(0, 99), st.data())
def test_any_index_picks_what_it_picks_of_a_list(seed, data):
    b = random_batch(seed)
    places = st.integers(-7, 6)
    index = data.draw(
        st.lists(places, min_size=1)
        | st.lists(st.booleans(), min_size=7, max_size=7).filter(any).map(np.array)
        | st.slices(7).filter(lambda s: len(range(7)[s]))
    )
    picked = np.arange(7)[index]
    part = b[index]
    assert part.shape == (len(picked), 4) and part.durations.tolist() == b.durations[picked].tolist()
    for (times, neurons), p in zip(part, picked, strict=True):
        np.testing.assert_array_equal(times, b[p][0])
        np.testing.assert_array_equal(neurons, b[p][1])
    assert part.equals(SpikeBatch.from_patterns([b[p] for p in picked], 4, b.durations[picked]))


@given(st.integers(0, 99))
def test_iteration_pickles_and_equality(seed):
    b = random_batch(seed)
    assert SpikeBatch.from_patterns(b, b.n_neurons, b.durations).equals(b)
    assert pickle.loads(pickle.dumps(b)).equals(b)
    assert not b.equals(SpikeBatch.from_patterns(b, b.n_neurons, b.durations + 1))
    assert not b.equals(SpikeBatch.from_patterns(b, b.n_neurons + 1, b.durations)) and not b.equals(list(b))


def test_scikit_learn_takes_a_batch_for_x():
    b, y = random_batch(3, p=20), np.arange(20)
    assert indexable(b, y)[0] is b
    for index in ([3, 1], np.array([3, 1]), slice(2, 5), y % 2 == 0):
        assert _safe_indexing(b, index).equals(b[index])
    train, test, train_y, test_y = train_test_split(b, y, test_size=5, random_state=0)
    assert train.equals(b[train_y]) and test.equals(b[test_y]) and len(test) == 5
    folds = [b[part] for _, part in KFold(4).split(b)]
    assert sum(len(fold) for fold in folds) == 20 and folds[0].equals(b[:5])


def test_bad_indices_and_other_data_are_refused():
    b = random_batch(0)
    for index in (7, [0, 7]):
        with pytest.raises(IndexError, match="out of bounds"):
            b[index]
    with pytest.raises(IndexError, match="expected patterns alone"):
        b[0, 1]
    with pytest.raises(IndexError, match="expected one axis"):
        b[[[0, 1]]]
    with pytest.raises(ValueError, match="over at least one pattern"):
        b[7:]
    with pytest.raises(TypeError, match="X is a ndarray; expected a SpikeBatch"):
        check_spikes(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"X has shape \(7, 4\); expected 5 neurons"):
        check_spikes(b, 5)


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
