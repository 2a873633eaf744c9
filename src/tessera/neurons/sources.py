"""Spikes from elsewhere: arrays, lists, data frames, simulators and recordings, in any order and unit.

Times inside are ms. Quantities of Brian2 and of the package `quantities`, which neo uses, and timedeltas are converted;
plain numbers have the unit that the argument `unit` names. A trial becomes a pattern, and one without spikes stays.

Errors are ValueErrors that name the trial, the neuron and the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tessera.neurons.spikes import SpikeBatch, broadcast_duration, time_fault

Unit = Literal["s", "ms", "us"]
_MS = {"s": 1000.0, "ms": 1.0, "us": 1e-3}


def in_ms(times: Any, unit: Unit = "ms") -> np.ndarray:
    """Return times as float64 in ms: plain numbers in `unit`, or quantities, which know theirs.

    Raises ValueError if the unit is unknown or a quantity is not a time.
    """
    if unit not in _MS:
        raise ValueError(f"unit is {unit!r}; expected one of {', '.join(_MS)}")
    if isinstance(times, list | tuple) and any(_is_quantity(time) for time in times):  # NumPy would drop the units
        return np.array([in_ms(time, unit) for time in times])
    if hasattr(times, "rescale"):
        return np.asarray(times.rescale("ms").magnitude, dtype=np.float64)
    if hasattr(times, "dim"):
        if str(times.dim) != "s":
            raise ValueError(f"times have dimension {times.dim}; expected s")
        return np.asarray(times, dtype=np.float64) * 1000  # Brian2's numbers are in SI units
    values = np.asarray(times)
    if values.dtype.kind == "m":
        return values / np.timedelta64(1, "ns") * 1e-6
    return values.astype(np.float64) * _MS[unit]


def from_events(
    trials: ArrayLike,
    neurons: ArrayLike,
    times: Any,
    *,
    duration: Any,
    unit: Unit = "ms",
    trial_ids: ArrayLike | None = None,
    neuron_ids: ArrayLike | None = None,
) -> SpikeBatch:
    """Make a batch of spikes listed in any order: the trial, the neuron and the time of each, all (n,).

    trials, neurons: numbers or names. Row p of the batch is the trial trial_ids[p], and neuron i is neuron_ids[i]; by
    default both are the distinct values that occur, sorted. Name them to keep trials and neurons without spikes.
    times, duration: from the start of the trial; one duration, or one per row.
    """
    trials, neurons, ms = np.asarray(trials), np.asarray(neurons), in_ms(times, unit)
    if ms.ndim != 1 or not trials.shape == neurons.shape == ms.shape:
        raise ValueError(
            f"trials, neurons and times have shapes {trials.shape}, {neurons.shape} and {ms.shape}; expected (n,)"
        )
    n_trials, row = _places(trials, trial_ids, "trial")
    n_neurons, column = _places(neurons, neuron_ids, "neuron")
    durations = broadcast_duration(in_ms(duration, unit), n_trials)
    if fault := time_fault(ms, durations[row]):
        event, why = fault
        raise ValueError(f"trial {_plain(trials[event])!r}, neuron {_plain(neurons[event])!r}: {why}")
    order = np.lexsort((ms, row))
    offsets = np.r_[0, np.cumsum(np.bincount(row, minlength=n_trials))]
    return SpikeBatch(ms[order], column[order], offsets, n_neurons, durations)


def from_lists(trains: Sequence[Sequence[Any]], *, duration: Any, unit: Unit = "ms") -> SpikeBatch:
    """Make a batch of nested lists: trains[p][i] holds the times of neuron i in trial p, from the start of the trial.

    duration: one, or one per trial.
    """
    if len({len(trial) for trial in trains}) != 1 or not len(trains[0]):
        raise ValueError(
            f"trials have {sorted({len(trial) for trial in trains})} spike trains; expected one per neuron in each"
        )
    parts = [[in_ms(train, unit).ravel() for train in trial] for trial in trains]
    counts = np.array([[len(train) for train in trial] for trial in parts])
    rows, columns = np.indices(counts.shape)
    return from_events(
        np.repeat(rows.ravel(), counts.ravel()),
        np.repeat(columns.ravel(), counts.ravel()),
        np.concatenate([train for trial in parts for train in trial]),
        duration=in_ms(duration, unit),
        trial_ids=range(len(counts)),
        neuron_ids=range(counts.shape[1]),
    )


def from_frame(
    frame: Any,
    *,
    duration: Any,
    trial: str = "trial",
    neuron: str = "neuron",
    time: str = "time",
    unit: Unit = "ms",
    trial_ids: ArrayLike | None = None,
    neuron_ids: ArrayLike | None = None,
) -> SpikeBatch:
    """Make a batch of a data frame, one row per spike; `trial`, `neuron` and `time` name its columns.

    The rest as in `from_events`.
    """
    if missing := [name for name in (trial, neuron, time) if name not in frame]:
        raise ValueError(f"the frame has no column {missing[0]!r}; expected one of {', '.join(map(str, frame))}")
    return from_events(
        frame[trial],
        frame[neuron],
        np.asarray(frame[time]),
        duration=duration,
        unit=unit,
        trial_ids=trial_ids,
        neuron_ids=neuron_ids,
    )


def from_recording(trains: Iterable[Any], starts: Any, *, duration: Any, unit: Unit = "ms") -> SpikeBatch:
    """Cut a continuous recording into trials: trains holds the times of each neuron, starts (P,) the trials' begin.

    A trial takes the spikes from its start until before its end; trials may overlap. duration: one, or one per trial.
    `monitor.spike_trains().values()` of one long run in Brian2 is such a recording.
    """
    begin = in_ms(starts, unit)
    if begin.ndim != 1 or not len(begin) or not np.isfinite(begin).all():
        raise ValueError(f"starts are {begin}; expected at least one finite time, (P,)")
    length = broadcast_duration(in_ms(duration, unit), len(begin))
    cut: list[list[np.ndarray]] = [[] for _ in begin]
    for neuron, train in enumerate(trains):
        times = np.sort(in_ms(train, unit))
        if not np.isfinite(times).all():
            raise ValueError(f"neuron {neuron}: time {times[~np.isfinite(times)][0]} ms is not finite")
        low, high = np.searchsorted(times, begin), np.searchsorted(times, begin + length)
        for p, trial in enumerate(cut):
            trial.append(np.minimum(times[low[p] : high[p]] - begin[p], length[p]))  # rounding may pass the end
    return from_lists(cut, duration=length)


def from_brian2(monitors: Any, *, duration: Any) -> SpikeBatch:
    """Make a batch of Brian2's SpikeMonitors, one per trial, each run from t = 0; a single one is a single trial.

    All neurons that a monitor's source has are kept. duration: a quantity such as 500*ms, or ms; one, or one per trial.
    Trials that follow each other in one run: see `from_recording`.
    """
    several = [monitors] if hasattr(monitors, "spike_trains") else list(monitors)
    if not several:
        raise ValueError("monitors are empty; expected at least one, one per trial")
    return from_events(
        np.repeat(np.arange(len(several)), [len(monitor.i) for monitor in several]),
        np.concatenate([np.asarray(monitor.i) for monitor in several]),
        np.concatenate([in_ms(monitor.t[:]) for monitor in several]),
        duration=in_ms(duration),
        trial_ids=range(len(several)),
        neuron_ids=range(max(len(monitor.source) for monitor in several)),
    )


def from_neo(trials: Any) -> SpikeBatch:
    """Make a batch of neo: a Block, a list of Segments, or a list of lists of SpikeTrains; one trial each.

    The trains of a trial, one per neuron, share t_start and t_stop, which give the trial's start and duration.
    """
    parts = [list(getattr(trial, "spiketrains", trial)) for trial in getattr(trials, "segments", trials)]
    durations = []
    for p, trains in enumerate(parts):
        spans = {(float(in_ms(train.t_start)), float(in_ms(train.t_stop))) for train in trains}
        if len(spans) != 1:
            raise ValueError(f"trial {p}: (t_start, t_stop) are {sorted(spans)} ms; expected one span for all trains")
        (start, stop), *_ = spans
        durations.append(stop - start)
        # A sum of rounded numbers: a spike at t_stop may lie past the difference by a rounding error.
        parts[p] = [np.minimum(in_ms(train) - start, stop - start) for train in trains]
    return from_lists(parts, duration=durations)


def from_nwb(nwb: Any, *, intervals: Any = None, duration: Any = None) -> SpikeBatch:
    """Make a batch of the units of an NWB file as pynwb reads it, cut to the intervals of a table.

    intervals: a TimeIntervals table, by default nwb.trials; a row is a trial. duration: s, one or one per trial, by
    default stop_time - start_time. Reading the file needs the extra `recordings`.
    """
    table = nwb.trials if intervals is None else intervals
    if nwb.units is None or table is None:
        raise ValueError(f"the file has no {'units' if nwb.units is None else 'trials'}; expected both")
    starts = np.asarray(table["start_time"][:])
    length = np.asarray(table["stop_time"][:]) - starts if duration is None else duration
    return from_recording(nwb.units["spike_times"][:], starts, duration=length, unit="s")


def _is_quantity(value: Any) -> bool:
    return hasattr(value, "rescale") or hasattr(value, "dim")


def _places(values: np.ndarray, ids: ArrayLike | None, name: str) -> tuple[int, np.ndarray]:
    """How many ids there are, and the place among them of each value (n,)."""
    if missing := np.flatnonzero(values != values).tolist():  # NaN
        raise ValueError(f"event {missing[0]}: its {name} is missing")
    if ids is None:
        distinct, places = np.unique(values, return_inverse=True)
        return len(distinct), places
    known = np.asarray(ids).tolist()
    place = {value: i for i, value in enumerate(known)}
    if len(place) != len(known):
        raise ValueError(f"{name}_ids hold {len(known) - len(place)} values twice; expected distinct ones")
    listed = values.tolist()
    if unknown := [i for i, value in enumerate(listed) if value not in place]:
        raise ValueError(f"event {unknown[0]}: {name} {listed[unknown[0]]!r} is not among {name}_ids")
    return len(known), np.array([place[value] for value in listed], dtype=np.int64)


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python prints it."""
    return value.item() if isinstance(value, np.generic) else value
