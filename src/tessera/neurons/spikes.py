"""Spike trains: a ragged batch of patterns, each a time-sorted list of (time, neuron) events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

#: One pattern: its times in ms and its neurons, both (n,), sorted in time.
Pattern = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class SpikeBatch:
    """P patterns (trials) of spikes of N neurons: the X, of shape (P, N), that the estimators of neurons take.

    times      (n,) float64, ms from the start of the pattern: the spikes of pattern 0, of pattern 1, ..., each sorted
    neurons    (n,) int32: the neuron of each spike, 0 <= neuron < n_neurons; simultaneous spikes come in any order
    offsets    (P+1,) int64: spikes offsets[p] to offsets[p+1] belong to pattern p; a pattern may have none
    n_neurons  N, a count
    durations  (P,) float64, ms: pattern p lasts from 0 to durations[p]. The constructor also takes one for all.

    Rows are patterns, as scikit-learn expects: `batch[3]` is the pair (times, neurons) of one, `batch[2:7]`,
    `batch[[4, 0]]` and `batch[mask]` are batches, and iteration yields pairs.

    Raises ValueError, naming pattern, neuron and value, if times are not finite, below 0, past the pattern's duration
    or unsorted, or if neurons are out of range. `tessera.neurons.sources` sorts data and converts units.
    """

    times: np.ndarray
    neurons: np.ndarray
    offsets: np.ndarray
    n_neurons: int
    durations: np.ndarray

    def __init__(
        self, times: ArrayLike, neurons: ArrayLike, offsets: ArrayLike, n_neurons: int, duration: ArrayLike
    ) -> None:
        events = np.asarray(neurons)
        if events.size and not np.issubdtype(events.dtype, np.integer):
            raise ValueError(f"neurons are {events.dtype}; expected integers")
        values = {
            "times": np.ascontiguousarray(times, dtype=np.float64),
            "neurons": events,
            "offsets": np.ascontiguousarray(offsets, dtype=np.int64),
            "n_neurons": n_neurons,
            "durations": np.asarray(duration, dtype=np.float64),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()
        object.__setattr__(self, "neurons", np.ascontiguousarray(events, dtype=np.int32))

    def _check(self) -> None:
        if self.n_neurons < 1:
            raise ValueError(f"n_neurons is {self.n_neurons}; expected at least 1")
        if self.times.ndim != 1 or self.times.shape != self.neurons.shape:
            raise ValueError(
                f"times and neurons have shapes {self.times.shape} and {self.neurons.shape}; expected (n,) for both"
            )
        offsets = self.offsets
        if offsets.ndim != 1 or len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(self.times):
            raise ValueError(f"offsets must run from 0 to the {len(self.times)} spikes, over at least one pattern")
        counts = np.diff(offsets)
        if np.any(counts < 0):
            raise ValueError(f"offsets decrease after pattern {np.argmax(counts < 0)}")
        object.__setattr__(self, "durations", broadcast_duration(self.durations, len(self)))
        ends = np.repeat(self.durations, counts)
        if fault := time_fault(self.times, ends):
            raise ValueError(self._named(*fault))
        unsorted = np.r_[False, np.diff(self.times) < 0]
        unsorted[offsets[:-1][counts > 0]] = False
        if unsorted.any():
            first = int(np.argmax(unsorted))
            fault = first, f"time {self.times[first]} ms follows a later one; sort the spikes of each pattern"
            raise ValueError(self._named(*fault))
        outside = (self.neurons < 0) | (self.neurons >= self.n_neurons)
        if outside.any():
            first = int(np.argmax(outside))
            neuron, last = self.neurons[first], self.n_neurons - 1
            raise ValueError(f"pattern {self._owner(first)}: neuron {neuron} is outside 0..{last}")

    def _named(self, spike: int, fault: str) -> str:
        return f"pattern {self._owner(spike)}: {fault} (neuron {self.neurons[spike]})"

    def _owner(self, spike: int) -> int:
        return int(np.searchsorted(self.offsets, spike, side="right")) - 1

    @property
    def duration(self) -> float:
        """The longest duration, ms."""
        return float(self.durations.max())

    @property
    def counts(self) -> np.ndarray:
        """Spikes of each pattern (P,)."""
        return np.diff(self.offsets)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, N)."""
        return len(self), self.n_neurons

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[Pattern]:
        return (self[p] for p in range(len(self)))

    def __repr__(self) -> str:
        return f"<SpikeBatch: {len(self)} patterns, {self.n_neurons} neurons, {len(self.times)} spikes>"

    @overload
    def __getitem__(self, index: int | np.integer) -> Pattern: ...
    @overload
    def __getitem__(self, index: slice | ArrayLike | tuple[Any, EllipsisType]) -> SpikeBatch: ...
    def __getitem__(self, index: Any) -> Pattern | SpikeBatch:
        """Return the (times, neurons) of one pattern, as views, or a batch of several, in the order asked for."""
        if isinstance(index, tuple):  # scikit-learn asks for array[rows, ...]
            if len(index) != 2 or index[1] is not Ellipsis:
                raise IndexError(f"index is {index}; expected patterns alone, because the neurons' spikes are ragged")
            index = index[0]
        rows = np.arange(len(self))[index]
        if rows.ndim == 0:
            part = slice(self.offsets[rows], self.offsets[rows + 1])
            return self.times[part], self.neurons[part]
        if rows.ndim > 1:
            raise IndexError(f"index has shape {rows.shape}; expected one axis, that of the patterns")
        counts = self.counts[rows]
        offsets = np.r_[0, np.cumsum(counts)]
        spikes = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], counts)
        return SpikeBatch(self.times[spikes], self.neurons[spikes], offsets, self.n_neurons, self.durations[rows])

    def equals(self, other: object) -> bool:
        """Whether the other is a batch of the same spikes, durations and number of neurons, bit by bit."""
        return (
            isinstance(other, SpikeBatch)
            and self.n_neurons == other.n_neurons
            and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("times", "neurons", "offsets", "durations")
            )
        )

    @classmethod
    def from_patterns(cls, patterns: Iterable[Pattern], n_neurons: int, duration: ArrayLike) -> SpikeBatch:
        """Join (times, neurons) pairs, each already sorted in time; duration in ms, one or (P,)."""
        pairs = [(np.asarray(times, dtype=np.float64), np.asarray(neurons)) for times, neurons in patterns]
        for p, (times, neurons) in enumerate(pairs):
            if times.shape != neurons.shape:
                raise ValueError(f"pattern {p}: {times.shape} times but {neurons.shape} neurons")
        offsets = np.cumsum([0] + [len(times) for times, _ in pairs])
        filled = [pair for pair in pairs if len(pair[0])]  # NumPy's empty list is of floats
        times = np.concatenate([times for times, _ in filled]) if filled else np.empty(0)
        neurons = np.concatenate([neurons for _, neurons in filled]) if filled else np.empty(0, dtype=np.int32)
        return cls(times, neurons, offsets, n_neurons, duration)

    @classmethod
    def from_dense(cls, times: np.ndarray, duration: ArrayLike) -> SpikeBatch:
        """One spike per neuron: times (P, N) in ms, NaN where a neuron stays silent; duration in ms, one or (P,)."""
        order = np.argsort(times, axis=1, kind="stable")  # NaN sorts last
        pairs = [(row[i], i) for row, i in zip(times, order, strict=True)]
        return cls.from_patterns([(t[~np.isnan(t)], i[~np.isnan(t)]) for t, i in pairs], times.shape[1], duration)


def broadcast_duration(duration: ArrayLike, n_patterns: int) -> np.ndarray:
    """Return one duration per pattern, (P,) in ms. Raises ValueError unless all are positive and finite."""
    values = np.asarray(duration, dtype=np.float64)
    if values.ndim and values.shape != (n_patterns,):
        raise ValueError(f"duration has shape {values.shape}; expected one number, or ({n_patterns},), one per pattern")
    wrong = ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        where = f"pattern {np.argmax(wrong)}: " if values.ndim else ""
        raise ValueError(f"{where}duration is {values[wrong][0]} ms; expected a positive, finite number")
    return np.broadcast_to(values, n_patterns).copy()


def time_fault(times: np.ndarray, ends: np.ndarray) -> tuple[int, str] | None:
    """Return the first spike that no pattern can have, and why; times and the ends of their patterns are (n,) in ms."""
    for wrong, why in (
        (~np.isfinite(times), "is not finite"),
        (times < 0, "is negative"),
        (times > ends, "lies past the duration of {} ms"),
    ):
        if wrong.any():
            first = int(np.argmax(wrong))
            return first, f"time {times[first]} ms {why.format(ends[first])}"
    return None


def check_spikes(X: object, n_neurons: int | None = None) -> SpikeBatch:
    """Return X, or raise TypeError if it is no batch and ValueError if it has not n_neurons, those of the fit."""
    if not isinstance(X, SpikeBatch):
        raise TypeError(f"X is a {type(X).__name__}; expected a SpikeBatch, which tessera.neurons makes of other data")
    if n_neurons is not None and X.n_neurons != n_neurons:
        raise ValueError(f"X has shape {X.shape}; expected {n_neurons} neurons, as in fit")
    return X
