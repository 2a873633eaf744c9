"""Real inputs as spike patterns: grey levels by latency, and recorded auditory receptors."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence

import numpy as np

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch


def latency_code(grey: np.ndarray, duration: float) -> SpikeBatch:
    """One spike per pixel at t = T (1 - grey): grey (P, N) in [0, 1], duration T in ms. White fires first.

    Black pixels stay silent: a spike at T acts on nothing before T. Raises ValueError if a grey level is out of range.
    """
    grey = np.asarray(grey, dtype=float)
    wrong = ~((grey >= 0) & (grey <= 1))
    if wrong.any():
        p, i = np.argwhere(wrong)[0]
        raise ValueError(f"pattern {p}: grey level {grey[p, i]} of pixel {i} is outside 0..1")
    return SpikeBatch.from_dense(np.where(grey > 0, duration * (1 - grey), np.nan), duration)


def contiguous_folds(group: np.ndarray, folds: int) -> np.ndarray:
    """Fold (n,) of each item: contiguous blocks of every group (n,).

    Items that are filed together, such as those of one writer, stay in one fold.
    """
    fold = np.empty(len(group), dtype=np.int64)
    for name in np.unique(group):
        places = np.flatnonzero(group == name)
        fold[places] = np.arange(len(places)) * folds // len(places)
    return fold


def parse_images(content: bytes, name: str = "images") -> tuple[np.ndarray, np.ndarray]:
    """Read a gzipped table with one image per row: grey levels of 0..255, then the digit.

    Returns grey levels (P, N) in [0, 1] and digits (P,). Raises ValueError naming the file.
    """
    try:
        table = np.loadtxt(io.BytesIO(gzip.decompress(content)), delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{name}: {error}; expected a gzipped table of comma-separated numbers") from None
    return table[:, :-1] / 255, table[:, -1].astype(int)


def parse_spike_times(text: str, name: str = "spikes") -> np.ndarray:
    """Times in ms (n,) of a recording with one time in microseconds per line and comments after #."""
    lines = [line.strip() for line in text.splitlines()]
    try:
        times = np.array([float(line) for line in lines if line and not line.startswith("#")]) / 1000
    except ValueError as error:
        raise ValueError(f"{name}: {error}; expected one time in microseconds per line") from None
    if len(times) < 2 or (np.diff(times) < 0).any() or times[0] < 0:
        raise ValueError(f"{name}: {len(times)} times; expected at least two, sorted and not negative")
    return times


def windows(recordings: Sequence[np.ndarray], window: float) -> list[np.ndarray]:
    """Cut recordings (ms) into disjoint windows of `window` ms, as spike times relative to each window's start."""
    cut = []
    for times in recordings:
        index = (times // window).astype(int)
        last = index.max()  # the recording may end inside its last window
        cut += [times[index == i] - i * window for i in range(last)]
    return cut


def shuffled_windows(cut: Sequence[np.ndarray], p: int, window: float, rng: np.random.Generator) -> SpikeBatch:
    """p patterns of as many surrogate afferents as there are windows: each pattern assigns them again at random."""
    neurons = np.repeat(np.arange(len(cut)), [len(times) for times in cut])
    times = np.concatenate(list(cut))
    order = np.argsort(times, kind="stable")
    times, neurons = times[order], neurons[order]
    return SpikeBatch.from_patterns([(times, rng.permutation(len(cut))[neurons]) for _ in range(p)], len(cut), window)


def potential_statistics(
    weights: np.ndarray, spikes: SpikeBatch, kernel: DoubleExponential, skip: float, points: int = 64
) -> tuple[float, float]:
    """Standard deviation of V over patterns and sqrt(-C''(0)) = sd(dV/dt) / sd(V), per ms, both averaged over times.

    Times start `skip` ms into the pattern, after the transient. sqrt(-C''(0)) T is the effective number of times K.
    """
    grid = np.linspace(skip, spikes.duration, points)
    count = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
    strength = weights[spikes.neurons]
    v, slope = np.zeros((len(spikes), points)), np.zeros((len(spikes), points))
    for j, t in enumerate(grid):
        lag = t - spikes.times
        past = lag > 0
        here, w = count[past], strength[past]
        v[:, j] = np.bincount(here, w * kernel(lag[past]), len(spikes))
        slope[:, j] = np.bincount(here, w * kernel.slope(lag[past]), len(spikes))
    sigma = np.sqrt(v.var(axis=0).mean())
    return float(sigma), float(np.sqrt(slope.var(axis=0).mean()) / sigma)
