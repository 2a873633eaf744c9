"""Tasks: random trains with random desired spikes, and the exclusive-or of two features carried by volleys."""

from __future__ import annotations

import numpy as np

from tessera.neurons.spikes import SpikeBatch


def poisson_problem(
    rng: np.random.Generator,
    n: int,
    n_targets: int,
    duration: float = 300.0,
    rate: float = 5e-3,
    first: float = 20.0,
    spacing: float = 10.0,
) -> tuple[SpikeBatch, np.ndarray]:
    """One pattern of N Poisson trains (rate in 1/ms) and n_targets desired times (ms) from `first` on, spacing apart.

    Targets are drawn until all are spacing apart, as the reference problems are; above a load at which that would take
    long, the spare time is divided at random instead, which has the same law. Raises ValueError if they do not fit.
    """
    room = duration - first - (n_targets - 1) * spacing
    if n_targets < 1 or room <= 0:
        raise ValueError(f"{n_targets} targets {spacing} ms apart do not fit into {first} to {duration} ms")
    counts = rng.poisson(rate * duration, n)
    neurons = np.repeat(np.arange(n), counts)
    times = rng.uniform(0, duration, neurons.size)
    targets = np.sort(rng.uniform(first, duration, n_targets))
    for _ in range(10_000):
        if n_targets < 2 or np.diff(targets).min() >= spacing:
            break
        targets = np.sort(rng.uniform(first, duration, n_targets))
    else:
        targets = first + np.sort(rng.uniform(0, room, n_targets)) + spacing * np.arange(n_targets)
    order = np.argsort(times, kind="stable")
    return SpikeBatch.from_patterns([(times[order], neurons[order])], n, duration), targets


def xor(
    n: int, volley: float = 40.0, target: float = 43.0, duration: float = 100.0
) -> tuple[SpikeBatch, list[np.ndarray]]:
    """Features A1, A2, B1, B2 of n afferents each, in this order, two of which fire one volley.

    Fire at `target` on (A1, B1) and (A2, B2); stay silent on (A1, B2) and (A2, B1). The traces of the first two add up
    to those of the others, so no weights on single afferents can do it.
    """
    if n < 1 or not 0 <= volley < target <= duration:
        raise ValueError(f"n = {n}, volley = {volley}, target = {target} ms: expected 0 <= volley < target <= duration")
    pairs = [(0, 2), (1, 3), (0, 3), (1, 2)]
    patterns = [
        (np.full(2 * n, volley), np.concatenate([np.arange(n) + n * feature for feature in pair])) for pair in pairs
    ]
    return SpikeBatch.from_patterns(patterns, 4 * n, duration), [np.array([target])] * 2 + [np.empty(0)] * 2


def xor_branches(n: int, *joined: tuple[int, ...]) -> list[list[int]]:
    """Groups of afferents of branches that see the given features: 0 and 1 are A1 and A2, 2 and 3 are B1 and B2."""
    return [[n * feature + i for feature in features for i in range(n)] for features in joined]


def jittered(spikes: SpikeBatch, sd: float, rng: np.random.Generator) -> SpikeBatch:
    """The same spikes, each moved by a normal shift of sd ms and kept inside [0, T]."""
    patterns = []
    for p in range(len(spikes)):
        times, neurons = spikes[p]
        moved = np.clip(times + sd * rng.normal(size=len(times)), 0.0, spikes.durations[p])
        order = np.argsort(moved, kind="stable")
        patterns.append((moved[order], neurons[order]))
    return SpikeBatch.from_patterns(patterns, spikes.n_neurons, spikes.durations)
