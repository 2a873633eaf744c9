"""Of the infinitely many rows, the few that are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tessera.tsvm.layout import Layout


@dataclass
class Cuts:
    """Rows weight * phi + theta_part * theta >= 1, kept in parallel arrays (m,).

    kinds: h, hold or slope. weights: what each takes of phi(x(t)) or of its derivative; theta: its coefficient of
    theta. A row that a target relaxes is the same as weight * (phi - phi(x(t_d))) + rest * theta, because w.phi = theta
    (1 + r_d) there: two large numbers less. origins: that target, -1 if there is none and rest = theta.
    """

    patterns: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    times: np.ndarray = field(default_factory=lambda: np.empty(0))
    kinds: np.ndarray = field(default_factory=lambda: np.empty(0, dtype="<U5"))
    weights: np.ndarray = field(default_factory=lambda: np.empty(0))
    theta: np.ndarray = field(default_factory=lambda: np.empty(0))
    segments: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    origins: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    rest: np.ndarray = field(default_factory=lambda: np.empty(0))

    def extend(self, layout: Layout, patterns: np.ndarray, times: np.ndarray, kinds: np.ndarray) -> None:
        """Append rows. times (k,) of slope rows are those of their targets, of hold rows lie after theirs."""
        r, g = layout.rows_at(patterns, times)
        before, slope = kinds == "h", kinds == "slope"
        d = layout.last_targets(patterns, times, slope)
        u = np.where(before, 1.0, times - layout.targets[d])
        relaxed = np.where(before | slope, 1.0, -np.expm1(-u / layout.tau_c))
        g = np.where(before, g, 1.0)
        tau_m, tau_c = layout.kernel.tau_m, layout.tau_c
        weights = np.where(before, -1 / g, np.where(slope, tau_c, 1 / relaxed))
        held = -(1 + r - np.exp(-u / tau_m)) / relaxed
        theta = np.where(before, (1 + r) / g, np.where(slope, tau_c * layout.target_reset[d] / tau_m, held))
        pieces = layout.pieces_of(patterns, times)
        segments = np.where(before, layout.segment[pieces], d)
        origins = np.where(before, layout.next_targets[pieces], np.where(slope, -1, d))
        # r decays from one target to the next: r(t) - r_d before a target, r_d - r(t) after it, over g.
        ahead, r_d = (layout.targets[origins] - times) / tau_m, layout.target_reset[origins]
        fallen = np.where(ahead < 1, r_d * np.expm1(np.minimum(ahead, 1.0)), r - r_d)
        anchored = np.where(before, fallen / g, -fallen / relaxed)
        self.patterns = np.append(self.patterns, patterns)
        self.times = np.append(self.times, times)
        self.kinds = np.append(self.kinds, kinds)
        self.weights, self.theta = np.append(self.weights, weights), np.append(self.theta, theta)
        self.segments = np.append(self.segments, segments)
        self.origins = np.append(self.origins, origins)
        self.rest = np.append(self.rest, np.where(origins >= 0, anchored, theta))

    def new(self, patterns: np.ndarray, times: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Mask of rows that are not kept yet: within 1e-9 ms of one of its kind is the same."""
        fresh = np.ones(len(times), dtype=bool)
        for kind in ("h", "hold", "slope"):
            kept, new = np.flatnonzero(self.kinds == kind), np.flatnonzero(kinds == kind)
            same = self.patterns[kept] == patterns[new, None]
            fresh[new] = ~(same & (np.abs(self.times[kept] - times[new, None]) < 1e-9)).any(axis=1)
        return fresh

    def __len__(self) -> int:
        return len(self.times)


def first_cuts(layout: Layout, points: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Uniform times with g > 1e-3, at least 4 per pattern, slope rows, and the last hold time of each target.

    And, if they are at most `points`, the targets' times in all patterns: there a pattern that is not to fire meets one
    that is, and a proof that both cannot be had needs exactly this time.
    """
    patterns, times, kinds = [], [], []
    count = max(4, points // len(layout.spikes))
    shared = np.unique(layout.targets)
    if len(shared) * len(layout.spikes) > points:
        shared = shared[:0]
    for p, end in enumerate(layout.ends):
        targets = layout.targets[layout.target_pattern == p]
        t = np.append((np.arange(count) + 0.5) * end / count, np.setdiff1d(shared[shared <= end], targets))
        at = np.full(len(t), p)
        t = t[layout.rows_at(at, t)[1] > 1e-3]
        times.append(t)
        patterns.append(np.full(len(t), p))
        kinds.append(np.full(len(t), "h"))
        times.append(targets)
        patterns.append(np.full(len(targets), p))
        kinds.append(np.full(len(targets), "slope"))
        if layout.hold > 0:
            last = np.minimum(targets + layout.hold, np.append(targets[1:], end))
            last = last[last > targets]
            times.append(last)
            patterns.append(np.full(len(last), p))
            kinds.append(np.full(len(last), "hold"))
    return np.concatenate(patterns), np.concatenate(times), np.concatenate(kinds)
