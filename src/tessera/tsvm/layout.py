"""Patterns and their desired spikes, cut into pieces on which every trace is a sum of exponentials.

A piece lies between two neighbouring events: input spikes, targets, ends of hold windows. At its start hold the traces,
the teacher's reset r and what is needed of the next and the last target; within it time is s = t - start. No absolute
time enters an exponential, so that nothing overflows however long the pattern is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import traces

#: ms before and after a target that the rows h and h+ leave to the slope row, whose limit they are (0/0 at the target).
GUARD = 1e-6
#: g in the dead zone of the static margin is this times the relaxed one: 0 would not be a row, and 1 not a dead zone.
DEAD = 1e-3


@dataclass(frozen=True, eq=False)
class Layout:
    """Pieces of all patterns, in order; E pieces, n_d targets in all.

    pattern (E,), start (E,) ms, length (E,) ms, first (E,): the piece begins its pattern
    reset (E,): r at the start, the targets at or before it included
    gain, gamma (E,): g(s) = gain (1 - gamma exp(s/tau_c)); gamma = 0 if no target follows
    guard (E,): the s at which h ends: the length, less GUARD where the piece ends at a target
    origin (E,): the s of the target at which the piece ends and where V = theta exactly, to measure V from; -1 if none
    held (E,): time since the last target at the start, -1 outside its hold window; hold_reset (E,): r without its spike
    segment (E,), hold_target (E,): labels of the stretch between targets, and of the target that is held
    spike_start (E+1,), spike_neuron: inputs that arrive at the start of each piece
    targets (n_d,) ms, target_pattern (n_d,), target_reset (n_d,): r_d, the reset just before
    margin_time ms: how near to a target h and h+ are required; exact: V = theta at the targets, to rounding
    """

    spikes: SpikeBatch
    kernel: DoubleExponential
    tau_c: float
    hold: float
    scale: float
    pattern: np.ndarray
    start: np.ndarray
    length: np.ndarray
    first: np.ndarray
    reset: np.ndarray
    gain: np.ndarray
    gamma: np.ndarray
    guard: np.ndarray
    origin: np.ndarray
    held: np.ndarray
    hold_reset: np.ndarray
    segment: np.ndarray
    hold_target: np.ndarray
    spike_start: np.ndarray
    spike_neuron: np.ndarray
    targets: np.ndarray
    target_pattern: np.ndarray
    target_reset: np.ndarray
    ends: np.ndarray
    margin_time: float
    exact: bool

    @property
    def n_segments(self) -> int:
        return int(self.segment.max()) + 1

    def traces(self, patterns: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and its left derivative, each (M, N), in M patterns at M times in ms."""
        s, kernel = self.spikes, self.kernel
        where = np.ascontiguousarray(patterns, dtype=np.int64), np.ascontiguousarray(times, dtype=float)
        both = traces.traces(*where, s.times, s.neurons, s.offsets, s.n_neurons, kernel.tau_m, kernel.tau_s)
        return both[0] * (kernel.v0 * self.scale), both[1] * (kernel.v0 * self.scale)

    def steps(self, patterns: np.ndarray, times: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """x(times) - x(origins) (M, N), to the digits of the difference itself; x(0) = 0."""
        s, kernel = self.spikes, self.kernel
        at, origin = np.ascontiguousarray(times, dtype=float), np.ascontiguousarray(origins, dtype=float)
        x = traces.steps(np.ascontiguousarray(patterns, dtype=np.int64), at, origin, s.times, s.neurons, s.offsets,
                         s.n_neurons, kernel.tau_m, kernel.tau_s)  # fmt: skip
        return x * (kernel.v0 * self.scale)

    def potential_terms(self, weights: np.ndarray) -> np.ndarray:
        """(E, 2) coefficients of w.x within each piece, of exp(-s/tau_s) and exp(-s/tau_m)."""
        kernel = self.kernel
        terms = traces.weighted_terms(weights, self.length, self.first, self.spike_start, self.spike_neuron,
                                      kernel.tau_m, kernel.tau_s)  # fmt: skip
        return terms * (kernel.v0 * self.scale)

    def all_traces(self) -> tuple[np.ndarray, np.ndarray]:
        """D and S, each (E, N), at the start of each piece: x = V0 scale (D exp(-s/tau_m) - S exp(-s/tau_s))."""
        kernel = self.kernel
        return traces.slow_and_fast(self.length, self.first, self.spike_start, self.spike_neuron,
                                    self.spikes.n_neurons, kernel.tau_m, kernel.tau_s)  # fmt: skip

    @cached_property
    def pieces(self) -> np.ndarray:
        """(P+1,) where each pattern's pieces begin."""
        return np.searchsorted(self.pattern, np.arange(len(self.spikes) + 1)).astype(np.int64)

    @cached_property
    def target_starts(self) -> np.ndarray:
        """(P+1,) where each pattern's targets begin."""
        return np.searchsorted(self.target_pattern, np.arange(len(self.spikes) + 1)).astype(np.int64)

    @cached_property
    def next_targets(self) -> np.ndarray:
        """(E,) the target at or after the end of each piece; -1 if its pattern has no more."""
        d = self.segment - self.pattern  # a pattern has one segment more than it has targets
        return np.where(d < self.target_starts[self.pattern + 1], d, -1)

    def rows_at(self, pattern: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """r(t) before any spike at t, and g(t), of M patterns and times in ms."""
        at = np.ascontiguousarray(times, dtype=float)
        p = np.ascontiguousarray(pattern, dtype=np.int64)
        e = self.pieces_of(p, at)
        r = _resets(p, at, self.targets, self.target_starts, self.kernel.tau_m)
        following = np.append(self.targets, np.inf)[self.next_targets[e]]
        relaxed = -np.expm1(-(following - at) / self.tau_c)
        return r, self.gain[e] * np.where(self.gamma[e] > 0, relaxed, 1.0)

    def pieces_of(self, pattern: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The pieces (M,) in which times in ms of M patterns lie; a border belongs to the piece that ends there."""
        at, p = np.ascontiguousarray(times, dtype=float), np.ascontiguousarray(pattern, dtype=np.int64)
        return _pieces(p, at, self.start, self.pieces)

    def last_targets(self, pattern: np.ndarray, times: np.ndarray, at_target: np.ndarray) -> np.ndarray:
        """The last target (M,) before each time, or at it where at_target (M,)."""
        at, p = np.ascontiguousarray(times, dtype=float), np.ascontiguousarray(pattern, dtype=np.int64)
        return _last(p, at, at_target, self.targets, self.target_starts)


def build(
    spikes: SpikeBatch,
    targets: Sequence[np.ndarray],
    kernel: DoubleExponential,
    tau_c: float,
    hold: float,
    scale: float = 1.0,
    after_last: bool = True,
    dead_zone: bool = False,
    margin_time: float = GUARD,
    exact: bool = True,
) -> Layout:
    """Cut the patterns into pieces. targets: checked, one sorted array per pattern.

    after_last: constraints continue to the end of the pattern; else they end at its last target.
    dead_zone: the static margin, g = 1 except in the last tau_c ms before a target.
    margin_time: ms around a target in which h and h+ are not required.
    exact: the weights to be looked at meet the equalities, so that h can be resolved next to the targets.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in _PIECES}
    neurons, counts, resets, ends = [], [], [], []
    segment = target = 0
    for p, desired in enumerate(targets):
        end = desired[-1] if len(desired) and not after_last else float(spikes.durations[p])
        piece = _pattern(spikes, p, desired, end, kernel.tau_m, tau_c, hold, dead_zone, margin_time, exact)
        times, ids = spikes[p]
        at = np.searchsorted(times, piece["start"], side="left")
        stop = np.searchsorted(times, piece["start"][-1] + piece["length"][-1], side="left")
        counts.append(np.diff(np.append(at, stop)))
        neurons.append(ids[at[0] : stop])
        piece["segment"] = piece["segment"] + segment
        piece["hold_target"] = piece["hold_target"] + target
        segment, target = segment + len(desired) + 1, target + len(desired)
        for name in _PIECES:
            parts[name].append(piece[name] if name != "pattern" else np.full(len(piece["start"]), p))
        resets.append([np.exp(-(t - desired[:i]) / kernel.tau_m).sum() for i, t in enumerate(desired)])
        ends.append(end)
    return Layout(
        spikes, kernel, tau_c, hold, scale,
        **{name: np.ascontiguousarray(np.concatenate(values)) for name, values in parts.items()},
        spike_start=np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64),
        spike_neuron=np.concatenate(neurons).astype(np.int32),
        targets=np.concatenate(targets),
        target_pattern=np.repeat(np.arange(len(targets)), [len(desired) for desired in targets]),
        target_reset=np.concatenate([np.asarray(r, dtype=float) for r in resets]),
        ends=np.array(ends),
        margin_time=margin_time,
        exact=exact,
    )  # fmt: skip


_PIECES = (
    "pattern", "start", "length", "first", "reset", "gain", "gamma", "guard", "origin", "held", "hold_reset",
    "segment", "hold_target",
)  # fmt: skip


def _pattern(spikes, p, desired, end, tau_m, tau_c, hold, dead_zone, margin_time, exact) -> dict[str, np.ndarray]:
    """Pieces of one pattern, labels counted from 0."""
    times = spikes[p][0]
    marks = [np.array([0.0, end]), times, desired]
    if hold > 0:
        marks.append(desired + hold)
    if dead_zone:
        marks.append(desired - tau_c)
    edges = np.unique(np.concatenate(marks))
    edges = edges[(edges >= 0) & (edges <= end)]
    start, stop = edges[:-1], edges[1:]
    before = np.searchsorted(desired, start, side="right")  # targets at or before the start of the piece
    following = np.append(desired, np.inf)[before]
    lags = start[:, None] - desired[None, :]
    decayed = np.where(lags >= 0, np.exp(-np.maximum(lags, 0.0) / tau_m), 0.0)
    reset = decayed.sum(axis=1)
    gamma = np.exp(-(following - start) / tau_c)
    gain = np.ones(len(start))
    if dead_zone:
        inside = following - start <= tau_c * (1 + 1e-12)
        gamma, gain = np.where(inside, gamma, 0.0), np.where(inside, DEAD, 1.0)
    since = np.where(before > 0, start - np.append(desired, 0.0)[before - 1], np.inf)
    held = np.where(since < hold * (1 - 1e-12), since, -1.0)
    length = stop - start
    at_target = stop == following
    return {
        "start": start,
        "length": length,
        "first": np.arange(len(start)) == 0,
        "reset": reset,
        "gain": gain,
        "gamma": gamma,
        "guard": np.minimum(length - np.where(at_target, margin_time, 0.0), following - GUARD - start),
        "origin": np.where(at_target & exact, length, -1.0),
        "held": held,
        "hold_reset": reset - np.exp(-np.where(held >= 0, since, np.inf) / tau_m),
        "segment": before,
        "hold_target": np.maximum(before - 1, 0),
    }


@njit(cache=True, error_model="numpy")
def _pieces(patterns, at, start, offsets):
    pieces = np.empty(len(at), dtype=np.int64)
    for j in range(len(at)):
        low, high = offsets[patterns[j]], offsets[patterns[j] + 1]
        first = low
        while low < high:  # the first piece that starts at or after the time
            middle = (low + high) // 2
            if start[middle] < at[j]:
                low = middle + 1
            else:
                high = middle
        pieces[j] = max(first, low - 1)
    return pieces


@njit(cache=True, error_model="numpy")
def _resets(patterns, at, targets, offsets, tau_m):
    r = np.zeros(len(at))
    for j in range(len(at)):
        for d in range(offsets[patterns[j]], offsets[patterns[j] + 1]):
            if targets[d] >= at[j]:
                break
            r[j] += np.exp(-(at[j] - targets[d]) / tau_m)
    return r


@njit(cache=True, error_model="numpy")
def _last(patterns, at, at_target, targets, offsets):
    last = np.full(len(at), -1)
    for j in range(len(at)):
        for d in range(offsets[patterns[j]], offsets[patterns[j] + 1]):
            if targets[d] < at[j] or (at_target[j] and targets[d] == at[j]):
                last[j] = d
    return last
