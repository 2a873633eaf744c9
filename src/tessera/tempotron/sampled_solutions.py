"""The solutions that independent starts of the rule find of the same task: overlaps, chords, clusters, and a walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tessera.common.files import Json
from tessera.common.progress import track
from tessera.common.randomness import generator
from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import bins, solutions, tasks
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import max_potential
from tessera.tempotron.params import ClustersParams, Input, NeuronParams
from tessera.tempotron.solutions import Arc

COLUMNS = ["task", "overlap", "overlap_centred", "chord_accuracy"]


@dataclass(frozen=True)
class Solved:
    """Solutions (S, N) of one task, the accuracy of any weights on it, and the feasible arc around weights."""

    weights: np.ndarray
    accuracy: Callable[[np.ndarray], float]
    arc: Arc


def solve(
    inputs: Input, k: int, load: float, p: ClustersParams, kernel: DoubleExponential, rng: np.random.Generator
) -> Solved:
    """Draw one task and learn it from p.solutions starts; starts that reach their last epoch are left out."""
    n, count = p.afferents, round(load * p.afferents)
    rate = p.rate / n
    if inputs == "bins":
        patterns, labels = tasks.bin_patterns(k, n, count, rng), tasks.labels(count, rng)
        runs = [
            bins.train(patterns, labels, rng, rate=rate, momentum=p.momentum, max_epochs=p.max_epochs)
            for _ in range(p.solutions)
        ]
        weights = [run.weights for run in runs if run.converged]
        arc = solutions.bins_arc(patterns, labels)

        def potential(w: np.ndarray) -> np.ndarray:
            return bins.max_projection(w, patterns)

    else:
        spikes = tasks.spike_patterns(inputs, n, count, tasks.duration(k, kernel), rng)
        labels = tasks.labels(count, rng)
        model = Tempotron(
            kernel.tau_m,
            kernel.tau_s,
            learning_rate=rate,
            momentum=p.momentum,
            max_epochs=p.max_epochs,
            init_scale=1e-2,
            random_state=rng,
        )
        weights = [model.coef_ for _ in range(p.solutions) if model.fit(spikes, labels).converged_]
        arc = solutions.spikes_arc(spikes, labels, kernel)

        def potential(w: np.ndarray) -> np.ndarray:
            return max_potential(w, spikes, kernel).v_max

    return Solved(np.array(weights), lambda w: float(((potential(w) >= 1) == (labels > 0)).mean()), arc)


def explore(
    inputs: Input, k: int, load: float, p: ClustersParams, neuron: NeuronParams, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Compare the solutions of random tasks with one another.

    Returns the pairs of solutions (task, overlap, overlap_centred, chord_accuracy, inputs, k, load), and a summary:
    solutions, in all; tasks, those with at least two solutions; clusters, the mean number on each of these; walk, some
    (step, overlap with the start) of random walks, mean over tasks.
    """
    kernel = DoubleExponential(**neuron.model_dump())
    frames, walks = [], []
    total = clusters = 0
    for task in track(range(p.tasks), f"{inputs}, K = {k}, load {load}"):
        rng = generator(seed, "tempotron", "clusters", inputs, k, round(1000 * load), task)
        solved = solve(inputs, k, load, p, kernel, rng)
        total += len(solved.weights)
        if len(solved.weights) < 2:
            continue
        number, worst = solutions.clusters(solved.weights, solved.accuracy, p.chord_points)
        clusters += number
        overlap, centred = solutions.overlaps(solved.weights), solutions.overlaps(solved.weights, remove_uniform=True)
        frames.append(pd.DataFrame(dict(zip(COLUMNS, (task, overlap, centred, worst), strict=True))))
        if p.walk_steps:
            path = solutions.walk(solved.weights[0], solved.arc, p.walk_steps, rng)
            unit = path / np.linalg.norm(path, axis=1, keepdims=True)
            walks.append(unit @ unit[0])
    pairs = pd.concat(frames) if frames else pd.DataFrame(columns=COLUMNS, dtype=float)
    summary: Json = {"inputs": inputs, "k": k, "load": load, "solutions": total, "tasks": len(frames)}
    summary |= {"clusters": clusters / len(frames) if frames else 0.0, "walk": _marked(walks)}
    return pairs.assign(inputs=inputs, k=k, load=load), summary


def _marked(walks: list[np.ndarray]) -> list[tuple[int, float]]:
    """The mean of the walks at 30 steps, equally spaced on a logarithmic scale, the first and the last included."""
    if not walks:
        return []
    curve = np.mean(walks, axis=0)
    marks = np.unique(np.geomspace(1, len(curve), 30).astype(int)) - 1
    return [(int(step), float(curve[step])) for step in marks]
