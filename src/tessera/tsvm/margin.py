"""The dynamical margin in continuous time: the worst of the rows h and h+ over all times, proved without a grid.

Our formulation of a dynamical margin, motivated by Rubin and Sompolinsky (2022, arXiv:2205.14544), of which we had only
the abstract. With V = w.phi(x(t)) - theta r(t), the time to the next target relaxing the bound by g, and weights that
give V = theta at every target,

    h(t)  = [theta (1 + r(t)) - w.phi] / g(t),                     g(t) = 1 - exp(-(t_next - t)/tau_c)
    h+(t) = [w.phi - theta (1 + r_d^-(t))] / (1 - exp(-u/tau_c)),  u = t - t_d <= hold
    slope = tau_c [w.d/dt phi(x(t_d)) + theta r_d/tau_m],

the margin is kappa(w, theta) = min of all / |w|. The least h is found by Dinkelbach's method: for a level lambda the
sign of theta (1 + r) - w.phi - lambda g decides whether h falls below lambda, and on each piece that is a sum of
exponentials, whose minima are isolated exactly. If nothing falls below lambda, h >= lambda is proved on the whole
line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit

from tessera.tsvm import exponentials
from tessera.tsvm.layout import Layout


class Potential(Protocol):
    """w.phi(x(t)) of one pair of weights and kernel, on every piece of a layout.

    rounding: what w.phi may be wrong by, beyond the rounding of its largest value.
    """

    rounding: float

    def scan(self, theta: float, level: np.ndarray, hold_level: np.ndarray) -> Scan: ...

    def values(self, patterns: np.ndarray, times: np.ndarray) -> np.ndarray: ...

    def slopes(self, patterns: np.ndarray, times: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Scan:
    """Per piece (E,): the smallest h found below its level and the time s in the piece; inf where all of h is above."""

    h: np.ndarray
    s: np.ndarray
    hold_h: np.ndarray
    hold_s: np.ndarray


@dataclass(frozen=True)
class Worst:
    """The least of h, h+ and the slope rows, or `level` if nothing lies below that; and the local minima below it.

    times, patterns, kinds ("h" or "hold"), values: local minimisers found on the first pass, worst first.
    slopes (n_d,): the slope rows.
    """

    least: float
    patterns: np.ndarray
    times: np.ndarray
    kinds: np.ndarray
    values: np.ndarray
    slopes: np.ndarray


class ExponentialPotential:
    """w.phi as a sum of exponentials: terms (E, K) of the decay rates (K,) in 1/ms, which fall and hold 1/tau_m."""

    rounding = 0.0

    def __init__(self, layout: Layout, terms: np.ndarray, rates: np.ndarray) -> None:
        tau_m, tau_c = layout.kernel.tau_m, layout.tau_c
        self.layout, self.terms, self.rates = layout, np.ascontiguousarray(terms), rates
        self.reset_term = int(np.argmin(np.abs(rates - 1 / tau_m)))
        equal = np.flatnonzero(np.abs(rates - 1 / tau_c) <= 1e-9 / tau_c)
        self._hold_term = int(equal[0]) if len(equal) else int(np.sum(rates > 1 / tau_c))
        k = self._hold_term
        hold_rates = rates if len(equal) else np.concatenate([rates[:k], [1 / tau_c], rates[k:]])
        self._joined = len(equal) > 0
        self._before_rates, self._hold_rates = np.append(-rates, 1 / tau_c), -hold_rates

    def scan(self, theta: float, level: np.ndarray, hold_level: np.ndarray) -> Scan:
        """Search every piece for h below its level; level, hold_level (E,)."""
        a = self.layout
        return Scan(
            *_scan(self.terms, self._before_rates, self._hold_rates, self.reset_term, self._hold_term, self._joined,
                   theta, level, hold_level, a.tau_c, a.length, a.reset, a.gain, a.gamma, a.guard, a.origin, a.held,
                   a.hold_reset, a.margin_time, a.exact)
        )  # fmt: skip

    def values(self, patterns: np.ndarray, times: np.ndarray) -> np.ndarray:
        """w.phi(x(t)) in M patterns at M times."""
        return self._sum(patterns, times, np.ones_like(self.rates))

    def slopes(self, patterns: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Left derivative of w.phi(x(t)), 1/ms."""
        return self._sum(patterns, times, -self.rates)

    def _sum(self, patterns: np.ndarray, times: np.ndarray, factors: np.ndarray) -> np.ndarray:
        pieces = self.layout.pieces_of(patterns, times)
        s = np.asarray(times, dtype=float) - self.layout.start[pieces]
        return (self.terms[pieces] * factors * np.exp(-np.outer(s, self.rates))).sum(axis=1)


def slope_rows(potential: Potential, layout: Layout, theta: float) -> np.ndarray:
    """tau_c [w.d/dt phi(x(t_d)) + theta r_d/tau_m] of every target (n_d,)."""
    rise = potential.slopes(layout.target_pattern, layout.targets)
    return layout.tau_c * (rise + theta * layout.target_reset / layout.kernel.tau_m)


def worst(potential: Potential, layout: Layout, theta: float, level: float = 1.0, keep: float = 0.0) -> Worst:
    """The least row by Dinkelbach's method from `level` down; `keep`: local minima less than this below it are dropped.

    The answer is the least of all rows if that lies below `level`, else `level`; then every row is proved to be at
    least that.
    """
    n = len(layout.length)
    slopes = slope_rows(potential, layout, theta)
    first = potential.scan(theta, np.full(n, level), np.full(n, level))
    minima = _local_minima(first, layout, level - keep)
    least = min(level, first.h.min(initial=np.inf), first.hold_h.min(initial=np.inf))
    while least < level:
        again = potential.scan(theta, np.full(n, least), np.full(n, least))
        lower = min(again.h.min(), again.hold_h.min())
        # A step that only moves within rounding ends the descent: h is resolved to about 1e-12 near a target.
        if not lower < least - 1e-12 * max(1.0, abs(least)):
            break
        least = lower
    if len(slopes):
        least = min(least, float(slopes.min()))
    return Worst(least, *minima, slopes)


@dataclass(frozen=True)
class SegmentMinima:
    """The least h of every segment between targets and the least h+ of every target, capped at a level.

    patterns, times, kinds: where those below the level lie, cuts of the soft margin.
    """

    h: np.ndarray
    hold: np.ndarray
    patterns: np.ndarray
    times: np.ndarray
    kinds: np.ndarray


def segment_minima(potential: Potential, layout: Layout, theta: float, level: float = 1.0) -> SegmentMinima:
    """The least rows of each segment, by Dinkelbach's method in all segments at once."""
    h, hold = np.full(layout.n_segments, level), np.full(len(layout.targets), level)
    # A pattern without targets borrows a label; nothing of it is held.
    of_target = np.minimum(layout.hold_target, max(len(hold) - 1, 0))
    places: dict[tuple[str, int], tuple[int, float]] = {}
    while True:
        pieces = potential.scan(theta, h[layout.segment], _of_targets(hold, layout, level))
        moved = False
        for kind, least, values, s, label in (
            ("h", h, pieces.h, pieces.s, layout.segment),
            ("hold", hold, pieces.hold_h, pieces.hold_s, of_target),
        ):
            for e in np.flatnonzero(np.isfinite(values)):
                k = label[e]
                if values[e] < least[k]:
                    moved |= bool(values[e] < least[k] - 1e-12 * max(1.0, abs(least[k])))
                    least[k] = values[e]
                    places[kind, k] = e, s[e]
        if not moved:
            break
    keys = sorted(places)
    at = np.array([places[key][0] for key in keys], dtype=int)
    times = _times(layout, at, np.array([places[key][1] for key in keys]))
    return SegmentMinima(h, hold, layout.pattern[at], times, np.array([kind for kind, _ in keys], dtype="<U5"))


def _of_targets(hold: np.ndarray, layout: Layout, level: float) -> np.ndarray:
    """The level of every piece's hold window; a pattern without targets has none, whatever it says."""
    return np.append(hold, level)[np.minimum(layout.hold_target, len(hold))]


def peak(potential: ExponentialPotential, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Largest w.phi over each pattern and its time in ms, each (P,); resets play no part."""
    value, s = _peaks(-potential.terms, -potential.rates, layout.length)
    best, at = np.zeros(len(layout.spikes)), np.zeros(len(layout.spikes))
    for p in range(len(layout.spikes)):
        low, high = np.searchsorted(layout.pattern, [p, p + 1])
        e = low + int(np.argmin(value[low:high]))
        best[p], at[p] = -value[e], layout.start[e] + s[e]
    return best, at


def _times(layout: Layout, pieces: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Times in ms of s in the pieces; at a border the first one after it, since the border is the end of a piece."""
    start = layout.start[pieces]
    return np.maximum(start + s, np.nextafter(start, np.inf))


def _local_minima(scan: Scan, layout: Layout, below: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pieces whose minimum is below both neighbours' and `below`: pattern, time, kind, value, worst first."""
    times, patterns, kinds, values = [], [], [], []
    for kind, h, s in (("h", scan.h, scan.s), ("hold", scan.hold_h, scan.hold_s)):
        padded = np.concatenate([[np.inf], h, [np.inf]])
        lowest = (h < below) & (h <= padded[:-2]) & (h <= padded[2:])
        # Neighbours with the same value are one minimum, at the border between them.
        lowest[1:] &= ~(lowest[:-1] & (h[1:] == h[:-1]))
        at = np.flatnonzero(lowest)
        times.append(_times(layout, at, s[at]))
        patterns.append(layout.pattern[at])
        kinds.append(np.full(len(at), kind))
        values.append(h[at])
    order = np.argsort(np.concatenate(values), kind="stable")
    return (
        np.concatenate(patterns)[order],
        np.concatenate(times)[order],
        np.concatenate(kinds)[order],
        np.concatenate(values)[order],
    )


@njit(cache=True, error_model="numpy")
def _scan(terms, before_rates, hold_rates, reset_term, hold_term, joined, theta, level, hold_level, tau_c, length,
          reset, gain, gamma, guard, origin, held, hold_reset, margin_time, exact):  # fmt: skip
    n, k = terms.shape
    h, s = np.full(n, np.inf), np.zeros(n)
    hold_h, hold_s = np.full(n, np.inf), np.zeros(n)
    before, after = np.empty(len(before_rates)), np.empty(len(hold_rates))
    work, hold_work = np.empty((2, len(before_rates))), np.empty((2, len(hold_rates)))
    for e in range(n):
        end = guard[e]
        if end > 0.0:
            constant = theta - level[e] * gain[e]
            for i in range(k):
                before[i] = -terms[e, i]
            before[reset_term] += theta * reset[e]
            before[k] = level[e] * gain[e] * gamma[e]
            # f is 0 at a target by its equality. Measured from there, it keeps its digits where g is small.
            if exponentials.lower_bound(constant, before, before_rates, 0.0, end, origin[e]) < 0.0:
                f, at = exponentials.minimum(constant, before, before_rates, 0.0, end, work, origin[e])
                if f < 0.0:
                    ahead = (at - origin[e]) / tau_c if origin[e] >= 0.0 else at / tau_c + math.log(gamma[e])
                    g = -gain[e] * math.expm1(ahead) if gamma[e] > 0.0 else gain[e]
                    h[e], s[e] = level[e] + f / g, at
        if held[e] >= 0.0:
            start = max(0.0, margin_time - held[e])
            if start < length[e]:
                constant = -theta - hold_level[e]
                relaxed = hold_level[e] * math.exp(-held[e] / tau_c)
                for i in range(k):
                    after[i if joined or i < hold_term else i + 1] = terms[e, i]
                after[reset_term if joined or reset_term < hold_term else reset_term + 1] -= theta * hold_reset[e]
                if joined:
                    after[hold_term] += relaxed
                else:
                    after[hold_term] = relaxed
                begin = 0.0 if exact and held[e] == 0.0 else -1.0  # as above
                if exponentials.lower_bound(constant, after, hold_rates, start, length[e], begin) < 0.0:
                    f, at = exponentials.minimum(constant, after, hold_rates, start, length[e], hold_work, begin)
                    if f < 0.0:
                        g = -math.expm1(-(held[e] + at) / tau_c)
                        hold_h[e], hold_s[e] = hold_level[e] + f / g, at
    return h, s, hold_h, hold_s


@njit(cache=True, error_model="numpy")
def _peaks(terms, rates, length):
    value, s = np.empty(len(length)), np.empty(len(length))
    work = np.empty((2, len(rates)))
    for e in range(len(length)):
        value[e], s[e] = exponentials.minimum(0.0, terms[e], rates, 0.0, length[e], work)
    return value, s
