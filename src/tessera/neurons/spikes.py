"""Spike trains: a ragged batch of patterns, each a time-sorted list of (time, neuron) events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SpikeBatch:
    """P patterns of spikes of N neurons, each pattern lasting from 0 to `duration`.

    times     (n,) float64, ms: the spikes of pattern 0, of pattern 1, ..., each sorted in time
    neurons   (n,) int32: the neuron of each spike, 0 <= neuron < n_neurons; simultaneous spikes come in any order
    offsets   (P+1,) int64: spikes offsets[p] to offsets[p+1] belong to pattern p
    n_neurons N, a count
    duration  T, ms

    Raises ValueError, naming the pattern and the value, if times are not finite, below 0, above T or unsorted, if
    neurons are out of range, or if a pattern has no spikes: its potential is 0 whatever the weights.
    """

    times: np.ndarray
    neurons: np.ndarray
    offsets: np.ndarray
    n_neurons: int
    duration: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", np.ascontiguousarray(self.times, dtype=np.float64))
        object.__setattr__(self, "offsets", np.ascontiguousarray(self.offsets, dtype=np.int64))
        neurons = np.asarray(self.neurons)
        if neurons.size and not np.issubdtype(neurons.dtype, np.integer):
            raise ValueError(f"neurons are {neurons.dtype}; expected integers")
        self._check(neurons)
        object.__setattr__(self, "neurons", np.ascontiguousarray(neurons, dtype=np.int32))

    def _check(self, neurons: np.ndarray) -> None:
        if not (np.isfinite(self.duration) and self.duration > 0):
            raise ValueError(f"duration is {self.duration} ms; expected a positive, finite number")
        if self.n_neurons < 1:
            raise ValueError(f"n_neurons is {self.n_neurons}; expected at least 1")
        if self.times.ndim != 1 or self.times.shape != neurons.shape:
            raise ValueError(
                f"times and neurons have shapes {self.times.shape} and {neurons.shape}; expected (n,) for both"
            )
        offsets = self.offsets
        if offsets.ndim != 1 or len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(self.times):
            raise ValueError(f"offsets must run from 0 to the {len(self.times)} spikes, over at least one pattern")
        counts = np.diff(offsets)
        if np.any(counts < 0):
            raise ValueError(f"offsets decrease after pattern {np.argmax(counts < 0)}")
        if np.any(counts == 0):
            raise ValueError(f"pattern {np.argmax(counts == 0)} has no spikes; every pattern needs at least one")
        self._refuse(~np.isfinite(self.times), "time {} ms is not finite")
        self._refuse(self.times < 0, "time {} ms is negative")
        self._refuse(self.times > self.duration, f"time {{}} ms lies past the duration of {self.duration} ms")
        unsorted = np.r_[False, np.diff(self.times) < 0]
        unsorted[offsets[:-1]] = False
        self._refuse(unsorted, "time {} ms follows a later one; sort the spikes of each pattern")
        outside = (neurons < 0) | (neurons >= self.n_neurons)
        self._refuse(outside, f"neuron {{}} is outside 0..{self.n_neurons - 1}", neurons)

    def _refuse(self, wrong: np.ndarray, message: str, values: np.ndarray | None = None) -> None:
        if wrong.any():
            first = int(np.argmax(wrong))
            pattern = int(np.searchsorted(self.offsets, first, side="right")) - 1
            value = (self.times if values is None else values)[first]
            raise ValueError(f"pattern {pattern}: {message.format(value)}")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def pattern(self, p: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the times and neurons of pattern p (views)."""
        part = slice(self.offsets[p], self.offsets[p + 1])
        return self.times[part], self.neurons[part]

    def take(self, patterns: Sequence[int] | np.ndarray) -> SpikeBatch:
        """Return the patterns of these indices (or of this boolean mask), in this order."""
        picked = np.asarray(patterns)
        picked = np.flatnonzero(picked) if picked.dtype == bool else picked
        return SpikeBatch.from_patterns([self.pattern(p) for p in picked], self.n_neurons, self.duration)

    @classmethod
    def from_patterns(
        cls, patterns: Iterable[tuple[np.ndarray, np.ndarray]], n_neurons: int, duration: float
    ) -> SpikeBatch:
        """Join (times, neurons) pairs, each already sorted in time."""
        pairs = [(np.asarray(times, dtype=np.float64), np.asarray(neurons)) for times, neurons in patterns]
        for p, (times, neurons) in enumerate(pairs):
            if times.shape != neurons.shape:
                raise ValueError(f"pattern {p}: {times.shape} times but {neurons.shape} neurons")
        offsets = np.cumsum([0] + [len(times) for times, _ in pairs])
        times = np.concatenate([times for times, _ in pairs]) if pairs else np.empty(0)
        neurons = np.concatenate([neurons for _, neurons in pairs]) if pairs else np.empty(0, dtype=np.int32)
        return cls(times, neurons, offsets, n_neurons, duration)

    @classmethod
    def from_dense(cls, times: np.ndarray, duration: float) -> SpikeBatch:
        """One spike per neuron: times (P, N) in ms, NaN where a neuron stays silent."""
        order = np.argsort(times, axis=1, kind="stable")  # NaN sorts last
        pairs = [(row[i], i) for row, i in zip(times, order, strict=True)]
        return cls.from_patterns([(t[~np.isnan(t)], i[~np.isnan(t)]) for t, i in pairs], times.shape[1], duration)
