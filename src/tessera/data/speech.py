"""Speech as spike patterns: multivariate series by level crossings, and what a linear classifier is given of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tessera.neurons.spikes import SpikeBatch


def parse_ts(text: str, name: str = "series") -> tuple[list[np.ndarray], np.ndarray]:
    """Read the .ts format of multivariate series of unequal length.

    Returns series, each (channels, frames), and integer class labels (P,). Raises ValueError naming file and line.
    """
    series, labels = [], []
    body = False
    for number, line in enumerate(text.splitlines(), 1):
        if not body:
            body = line.strip().lower() == "@data"
            continue
        if not line.strip():
            continue
        *channels, label = line.strip().split(":")
        try:
            series.append(np.array([[float(v) for v in channel.split(",")] for channel in channels]))
            labels.append(int(float(label)))
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}; valid is channel:channel:...:class") from None
        if series[-1].shape[0] != series[0].shape[0] or not np.isfinite(series[-1]).all():
            raise ValueError(f"{name}, line {number}: series of shape {series[-1].shape} is not finite or not alike")
    if not series:
        raise ValueError(f"{name}: no series after @data")
    return series, np.array(labels)


def crossing_levels(series: Sequence[np.ndarray], levels: int) -> np.ndarray:
    """Levels (channels, levels) to cross: evenly spaced quantiles of each channel over the (training) series."""
    values = np.concatenate(list(series), axis=1)
    return np.quantile(values, (np.arange(levels) + 1) / (levels + 1), axis=1).T


def level_crossings(series: Sequence[np.ndarray], levels: np.ndarray, frame: float, duration: float) -> SpikeBatch:
    """A spike at each upward crossing of a level, on an afferent a channel and level.

    series: each (channels, frames), frames `frame` ms apart, linear between them; levels (channels, L). A channel that
    starts above a level crosses it at onset, t = 0, so that the code carries the level as well as its changes.
    """
    n_channels, n_levels = levels.shape
    patterns = []
    for one in series:
        before = np.concatenate([np.full((n_channels, 1), -np.inf), one[:, :-1]], axis=1)
        crosses = (before[:, None] < levels[:, :, None]) & (one[:, None] >= levels[:, :, None])  # channel, level, frame
        channel, level, at = np.nonzero(crosses)
        low, high = before[channel, at], one[channel, at]
        part = np.ones(len(at))
        inner = at > 0
        part[inner] = (levels[channel, level] - low)[inner] / (high - low)[inner]
        times = np.where(inner, (at - 1 + part) * frame, 0.0)
        order = np.argsort(times, kind="stable")
        patterns.append((times[order], (channel * n_levels + level)[order]))
    return SpikeBatch.from_patterns(patterns, n_channels * n_levels, duration)


def first_spike_features(spikes: SpikeBatch) -> np.ndarray:
    """(P, N): 1 - t_first/T of each afferent, 0 if it is silent. What a linear classifier is given of the same input;
    the grey level itself under a latency code."""
    patterns = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
    first = np.full((len(spikes), spikes.n_neurons), spikes.duration)
    np.minimum.at(first, (patterns, spikes.neurons), spikes.times)
    return 1 - first / spikes.duration
