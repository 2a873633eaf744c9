"""Desired spike times, checked against the patterns that they belong to."""

from collections.abc import Sequence

import numpy as np

from tessera.neurons.spikes import SpikeBatch


def check_targets(
    spikes: SpikeBatch, targets: Sequence[np.ndarray], min_interval: float, any_needed: bool = True
) -> list[np.ndarray]:
    """Return the desired spike times in ms as sorted arrays, one per pattern.

    Raises ValueError, naming pattern and value, unless there is one array per pattern, and each time is finite, inside
    (0, T], after the pattern's first input, and at least min_interval ms after the time before it. Unless any_needed is
    false, some pattern must have a target: without one, w = 0 would already have every margin.
    """
    if len(targets) != len(spikes):
        raise ValueError(f"{len(targets)} lists of targets for {len(spikes)} patterns; expected one per pattern")
    checked = []
    for p, values in enumerate(targets):
        times = np.asarray(values, dtype=float)
        if times.ndim != 1:
            raise ValueError(f"pattern {p}: targets have shape {times.shape}; expected (n,), times in ms")
        inputs, end = spikes[p][0], spikes.durations[p]
        for i, t in enumerate(times):
            if not np.isfinite(t):
                raise ValueError(f"pattern {p}: target {t} ms is not finite")
            if not 0 < t <= end:
                raise ValueError(f"pattern {p}: target {t} ms is outside (0, {end}] ms")
            if not len(inputs):
                raise ValueError(f"pattern {p}: target {t} ms in a pattern without spikes; V is 0 there")
            if t <= inputs[0]:
                raise ValueError(
                    f"pattern {p}: target {t} ms is not after the first input, at {inputs[0]} ms; V is 0 there"
                )
            if i and t == times[i - 1]:
                raise ValueError(f"pattern {p}: target {t} ms is given twice")
            if i and t < times[i - 1]:
                raise ValueError(f"pattern {p}: target {t} ms follows a later one; sort the targets")
            if i and t - times[i - 1] < min_interval:
                raise ValueError(
                    f"pattern {p}: targets {times[i - 1]} and {t} ms are closer than min_interval = {min_interval} ms"
                )
        checked.append(times)
    if any_needed and not any(len(times) for times in checked):
        raise ValueError("no pattern has a target; expected at least one desired spike, or w = 0 would do")
    return checked
