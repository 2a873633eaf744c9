import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.neurons import sources
from tessera.neurons.spikes import SpikeBatch

#: Three trials of two neurons; the second has no spikes, and the third is longer.
TRAINS = [[[5.0, 1.0], [3.0]], [[], []], [[12.0], []]]
EXPECTED = SpikeBatch([1, 3, 5, 12], [0, 1, 0, 0], [0, 3, 3, 4], 2, [10, 10, 20])
DURATIONS = [10, 10, 20]


def test_lists_in_any_order():
    assert sources.from_lists(TRAINS, duration=DURATIONS).equals(EXPECTED)
    seconds = [[np.array(train) / 1000 for train in trial] for trial in TRAINS]
    converted = sources.from_lists(seconds, duration=np.array(DURATIONS) / 1000, unit="s")
    np.testing.assert_allclose(converted.times, EXPECTED.times, rtol=1e-15)
    np.testing.assert_allclose(converted.durations, EXPECTED.durations, rtol=1e-15)


def events():
    rows = [(p, i, t) for p, trial in enumerate(TRAINS) for i, train in enumerate(trial) for t in train]
    return [np.array(column) for column in zip(*rows, strict=True)]


@given(st.permutations(range(4)))
def test_events_in_any_order(order):
    trials, neurons, times = (column[list(order)] for column in events())
    ids = {"trial_ids": range(3), "neuron_ids": range(2)}
    assert sources.from_events(trials, neurons, times, duration=DURATIONS, **ids).equals(EXPECTED)


def test_frames_with_names_for_ids():
    trials, neurons, times = events()
    frame = pd.DataFrame({"trial": np.array(["a", "b", "c"])[trials], "cell": neurons + 100, "at": times})
    columns = {"neuron": "cell", "time": "at"}
    ids = {"trial_ids": ["a", "b", "c"], "neuron_ids": [100, 101]}
    assert sources.from_frame(frame, duration=DURATIONS, **columns, **ids).equals(EXPECTED)
    # Without ids, what has no spikes is not there.
    assert sources.from_frame(frame, duration=[10, 20], **columns).equals(EXPECTED[[0, 2]])
    timed = frame.assign(at=pd.to_timedelta(frame["at"], unit="ms"))
    assert sources.from_frame(timed, duration=DURATIONS, **columns, **ids).equals(EXPECTED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at": [1, 3, np.nan, 12]}, r"trial 'a', neuron 101: time nan ms is not finite"),
        ({"at": [1, -3, 5, 12]}, r"trial 'a', neuron 100: time -3.0 ms is negative"),
        ({"at": [1, 3, 5, 22]}, r"trial 'c', neuron 100: time 22.0 ms lies past the duration of 20.0 ms"),
        ({"trial": ["a", "a", "z", "c"]}, r"event 2: trial 'z' is not among trial_ids"),
        ({"cell": [100, 100, np.nan, 101]}, r"event 2: its neuron is missing"),
    ],
)
def test_bad_events_are_named(change, message):
    frame = pd.DataFrame({"trial": ["a", "a", "a", "c"], "cell": [100, 100, 101, 100], "at": [1.0, 3, 5, 12]})
    with pytest.raises(ValueError, match=message):
        sources.from_frame(
            frame.assign(**change), neuron="cell", time="at", duration=DURATIONS, trial_ids=["a", "b", "c"]
        )


def test_bad_shapes_columns_and_units_are_named():
    with pytest.raises(ValueError, match="unit is 'min'; expected one of s, ms, us"):
        sources.from_lists(TRAINS, duration=DURATIONS, unit="min")
    with pytest.raises(ValueError, match="no column 'neuron'; expected one of trial"):
        sources.from_frame(pd.DataFrame({"trial": [0]}), duration=1)
    with pytest.raises(ValueError, match=r"trials have \[1, 2\] spike trains"):
        sources.from_lists([[[1.0]], [[1.0], []]], duration=5)
    with pytest.raises(ValueError, match=r"shapes \(1,\), \(2,\) and \(2,\)"):
        sources.from_events([0], [0, 1], [1.0, 2.0], duration=5)
    with pytest.raises(ValueError, match="trial_ids hold 1 values twice"):
        sources.from_events([0], [0], [1.0], duration=5, trial_ids=[0, 0])
    with pytest.raises(ValueError, match=r"duration has shape \(2,\)"):
        sources.from_lists(TRAINS, duration=[1, 2])


def test_a_recording_is_cut_into_trials():
    trains = [[1.0, 10.5, 12.0, 19.999], [11.0, 20.0]]
    batch = sources.from_recording(trains, [10.0, 19.0], duration=[10.0, 5.0])
    assert [[t.tolist(), i.tolist()] for t, i in batch] == [
        [[0.5, 1.0, 2.0, pytest.approx(9.999)], [0, 1, 0, 0]],
        [[pytest.approx(0.999), 1.0], [0, 1]],
    ]
    with pytest.raises(ValueError, match="neuron 1: time inf ms is not finite"):
        sources.from_recording([[1.0], [np.inf]], [0.0], duration=5)
    with pytest.raises(ValueError, match="starts are"):
        sources.from_recording(trains, [np.nan], duration=5)


def test_units_of_quantities():
    pytest.importorskip("brian2")
    import brian2

    assert sources.in_ms([1.5, 2], "s").tolist() == [1500, 2000]
    assert sources.in_ms(np.array([1.5, 2]) * brian2.second, "us").tolist() == [1500, 2000]
    assert sources.in_ms([2 * brian2.ms, 1 * brian2.second]).tolist() == [2, 1000]
    assert sources.in_ms(np.array([3000], dtype="timedelta64[us]")).tolist() == [3]
    with pytest.raises(ValueError, match="times have dimension"):
        sources.in_ms(2 * brian2.mV)


def test_brian2_monitors():
    pytest.importorskip("brian2")
    import brian2
    from brian2 import ms

    brian2.prefs.codegen.target = "numpy"
    monitors = []
    for trial in TRAINS:
        brian2.start_scope()
        times, neurons = [*trial[0], *trial[1]], [0] * len(trial[0]) + [1] * len(trial[1])
        source = brian2.SpikeGeneratorGroup(2, neurons, times * ms)
        monitor = brian2.SpikeMonitor(source)
        brian2.Network(source, monitor).run(20 * ms)
        monitors.append(monitor)
    batch = sources.from_brian2(monitors, duration=np.array(DURATIONS) * ms)
    np.testing.assert_allclose(batch.times, EXPECTED.times, rtol=1e-12)
    assert batch.offsets.tolist() == EXPECTED.offsets.tolist() and batch.neurons.tolist() == EXPECTED.neurons.tolist()
    assert len(sources.from_brian2(monitors[0], duration=20)) == 1
    cut = sources.from_recording(monitors[0].spike_trains().values(), [0, 2] * ms, duration=2 * ms)
    assert cut.counts.tolist() == [1, 1] and cut.n_neurons == 2


class Times(np.ndarray):
    """A stand-in for quantities' and neo's arrays, in seconds."""

    @classmethod
    def seconds(cls, values, t_start=0.0, t_stop=0.0):
        times = np.asarray(values, dtype=float).view(cls)
        if times.ndim:
            times.t_start, times.t_stop = cls.seconds(t_start), cls.seconds(t_stop)
        return times

    @property
    def magnitude(self):
        return np.asarray(self)

    def rescale(self, unit):
        assert unit == "ms"
        return self * 1000


def neo_trains():
    """The spike trains of TRAINS, which begin at 2 s, in neo or a stand-in of it."""
    try:
        import neo
        import quantities as pq
    except ModuleNotFoundError:
        make = Times.seconds
    else:

        def make(times, t_start, t_stop):
            return neo.SpikeTrain(times * pq.s, t_start=t_start * pq.s, t_stop=t_stop * pq.s)

    return [
        [make(2 + np.array(train) / 1000, t_start=2.0, t_stop=2 + end / 1000) for train in trial]
        for trial, end in zip(TRAINS, DURATIONS, strict=True)
    ]


def check_neo(batch):
    np.testing.assert_allclose(batch.times, EXPECTED.times, rtol=1e-9)
    np.testing.assert_allclose(batch.durations, DURATIONS, rtol=1e-9)
    assert batch.offsets.tolist() == EXPECTED.offsets.tolist() and batch.neurons.tolist() == EXPECTED.neurons.tolist()


def test_neo_spike_trains():
    trials = neo_trains()
    check_neo(sources.from_neo(trials))
    with pytest.raises(ValueError, match=r"trial 0: \(t_start, t_stop\) are .*; expected one span"):
        sources.from_neo([[trials[0][0], trials[2][0]]])


def test_neo_blocks():
    neo = pytest.importorskip("neo")
    block = neo.Block()
    for trains in neo_trains():
        segment = neo.Segment()
        segment.spiketrains.extend(trains)
        block.segments.append(segment)
    check_neo(sources.from_neo(block))
    check_neo(sources.from_neo(block.segments))


def test_nwb_units(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    from datetime import UTC, datetime

    nwb = pynwb.NWBFile("session", "one", datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="no units"):
        sources.from_nwb(nwb)
    starts = np.array([2.0, 3.0, 4.0])
    for neuron in (0, 1):
        times = [start + np.array(trial[neuron]) / 1000 for start, trial in zip(starts, TRAINS, strict=True)]
        nwb.add_unit(spike_times=np.sort(np.concatenate(times)))
    with pytest.raises(ValueError, match="no trials"):
        sources.from_nwb(nwb)
    for start, end in zip(starts, DURATIONS, strict=True):
        nwb.add_trial(start_time=start, stop_time=start + end / 1000)
    path = tmp_path / "session.nwb"
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    with pynwb.NWBHDF5IO(path, "r") as io:
        check_neo(sources.from_nwb(io.read()))
        assert sources.from_nwb(nwb, duration=0.004).counts.tolist() == [2, 0, 0]
