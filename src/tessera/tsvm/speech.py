"""Telling two speakers apart: fire at the end of the utterances of one, stay silent on those of the other.

timed   the soft T-SVM with a target at the end of every utterance of one speaker. Nothing in the utterance tells that
it will end, so one more afferent does, with a spike shortly before the end, whoever speaks
binary  the largest static margin where a spike may come at any time: a tempotron of maximal margin

Both choose their slack penalty by cross-validation on the training patterns; nothing is chosen on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import TemporalSVM, layout, soft
from tessera.tsvm.margin import peak
from tessera.tsvm.params import NeuronParams


def with_cue(spikes: SpikeBatch, ends: np.ndarray, lead: float) -> SpikeBatch:
    """The same patterns with one more afferent, which fires `lead` ms before each end.

    Raises ValueError where that is before 0.
    """
    if (ends < lead).any():
        raise ValueError(f"lead is {lead} ms, and a pattern ends at {ends.min()} ms; valid is a shorter lead")
    patterns = []
    for p, end in enumerate(ends):
        times, neurons = spikes.pattern(p)
        times, neurons = np.append(times, end - lead), np.append(neurons, spikes.n_neurons)
        order = np.argsort(times, kind="stable")
        patterns.append((times[order], neurons[order]))
    return SpikeBatch.from_patterns(patterns, spikes.n_neurons + 1, spikes.duration)


def timed(
    spikes: SpikeBatch, ends: np.ndarray, labels: np.ndarray, neuron: NeuronParams, penalty: float
) -> TemporalSVM:
    """Soft T-SVM: patterns of label 1 fire at their ends (ms), the others never."""
    targets = [np.array([end]) if label > 0 else np.empty(0) for end, label in zip(ends, labels, strict=True)]
    return TemporalSVM(**neuron.model_dump(), C=penalty, after_last=False).fit(spikes, targets)


def until_end(out: Sequence[np.ndarray], ends: np.ndarray, window: float) -> list[np.ndarray]:
    """The output spikes that come by `window` ms after the end."""
    return [times[times <= end + window] for times, end in zip(out, ends, strict=True)]


def binary(
    spikes: SpikeBatch, labels: np.ndarray, neuron: NeuronParams, penalty: float
) -> tuple[np.ndarray, float, int]:
    """Weights, threshold and rounds of the concave-convex steps of the binary soft margin."""
    nulls, firing = (_silent(spikes.take(labels * sign > 0), neuron) for sign in (-1, 1))
    found = soft.solve_binary(nulls, firing, c=penalty)
    return found.w, found.theta, len(found.history)


def fires(w: np.ndarray, theta: float, spikes: SpikeBatch, neuron: NeuronParams) -> np.ndarray:
    """Whether w.x reaches theta anywhere in each pattern (P,)."""
    made = _silent(spikes, neuron)
    return peak(soft.linear_potential(made, w), made)[0] >= theta


def choose(
    penalties: Sequence[float], folds: int, labels: np.ndarray, score: Callable[[float, np.ndarray, np.ndarray], float],
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """The penalty of the best mean score over stratified folds, the smallest among equals.

    score(penalty, train, test) takes masks of the patterns.
    """
    fold = np.empty(len(labels), dtype=int)
    for one in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == one))
        fold[places] = np.arange(len(places)) % folds
    means = [np.mean([score(c, fold != k, fold == k) for k in range(folds)]) for c in sorted(penalties)]
    return sorted(penalties)[int(np.argmax(means))]


def _silent(spikes: SpikeBatch, neuron: NeuronParams) -> layout.Layout:
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    return layout.build(spikes, [np.empty(0)] * len(spikes), psp, neuron.tau_c, 0.0, exact=False)
