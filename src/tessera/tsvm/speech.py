"""Telling two speakers apart: fire at the end of one speaker's utterances, stay silent on the other's.

timed   the soft T-SVM with a target at the end of every utterance of one speaker. Nothing in an utterance announces its
        end, so one more afferent does, with a spike shortly before the end, whoever speaks
binary  the largest static margin if a spike may come at any time: a tempotron of maximal margin
linear  a linear SVM on the first spike of each afferent

Each chooses its slack penalty by cross-validation on the training patterns; nothing is chosen on the test patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tessera.common.randomness import generator
from tessera.data import speech as data
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import binary as binary_margin
from tessera.tsvm import layout
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.margin import peak
from tessera.tsvm.params import NeuronParams, RealParams


class Utterances(NamedTuple):
    """Utterances of two speakers as spike patterns, with ends in ms (P,) and labels (P,): 1 to fire on, -1 if not."""

    spikes: SpikeBatch
    ends: np.ndarray
    labels: np.ndarray

    def part(self, mask: np.ndarray) -> Utterances:
        """Those in the mask (P,)."""
        return Utterances(self.spikes[mask], self.ends[mask], self.labels[mask])


def utterances(
    parts: Sequence[tuple[list[np.ndarray], np.ndarray]], null: int, target: int, levels: int, frame: float
) -> list[Utterances]:
    """Encode the utterances of speakers `null` (silent) and `target` (fire), for each part, by level crossings.

    parts: (series, speakers), the training part first, of which the levels are quantiles; frame: ms.
    """
    duration = frame * max(values.shape[1] for series, _ in parts for values in series)
    chosen = []
    for series, speaker in parts:
        index = np.flatnonzero(np.isin(speaker, (null, target)))
        chosen.append(([series[i] for i in index], speaker[index]))
    crossed = data.crossing_levels(chosen[0][0], levels)
    return [
        Utterances(
            data.level_crossings(series, crossed, frame, duration),
            frame * np.array([values.shape[1] for values in series], dtype=float),
            np.where(speaker == target, 1, -1),
        )
        for series, speaker in chosen
    ]


def compare(
    task: str, train: Utterances, test: Utterances, params: RealParams, neuron: NeuronParams, seed: int
) -> dict[str, float]:
    """Accuracies of the three methods on one pair of speakers, with what they chose."""
    return (
        _timed(task, train, test, params, neuron, seed)
        | _binary(task, train, test, params, neuron, seed)
        | _linear(task, train, test, params, seed)
    )


def _timed(
    task: str, train: Utterances, test: Utterances, params: RealParams, neuron: NeuronParams, seed: int
) -> dict[str, float]:
    train, test = (side._replace(spikes=with_cue(side.spikes, side.ends, params.lead)) for side in (train, test))

    def outputs(model: TemporalSVM, side: Utterances) -> list[np.ndarray]:
        return until_end(model.predict(side.spikes), side.ends, params.window)

    def accuracy(model: TemporalSVM, side: Utterances) -> float:
        fired = np.array([len(times) > 0 for times in outputs(model, side)])
        return float((fired == (side.labels > 0)).mean())

    def score(penalty: float, inside: np.ndarray, outside: np.ndarray) -> float:
        return accuracy(timed(*train.part(inside), neuron, penalty), train.part(outside))

    rng = generator(seed, "tsvm", "speech", task, "timed")
    penalty = choose(params.penalties, params.folds, train.labels, score, rng)
    model = timed(*train, neuron, penalty)
    pairs = zip(outputs(model, test), test.ends, test.labels, strict=True)
    firing = [(times, end) for times, end, label in pairs if label > 0]
    on_time = [len(times) == 1 and abs(times[0] - end) <= params.window for times, end in firing]
    first = [abs(times[0] - end) for times, end in firing if len(times)]
    return {
        "timed": accuracy(model, test),
        "timed_train": accuracy(model, train),
        "timed_penalty": penalty,
        "on_time": float(np.mean(on_time)),
        "n_firing": len(firing),
        "median_error_ms": float(np.median(first)) if first else -1.0,
    }


def _binary(
    task: str, train: Utterances, test: Utterances, params: RealParams, neuron: NeuronParams, seed: int
) -> dict[str, float]:
    def accuracy(w: np.ndarray, theta: float, side: Utterances) -> float:
        return float((fires(w, theta, side.spikes, neuron) == (side.labels > 0)).mean())

    def score(penalty: float, inside: np.ndarray, outside: np.ndarray) -> float:
        part = train.part(inside)
        w, theta, _ = binary(part.spikes, part.labels, neuron, penalty)
        return accuracy(w, theta, train.part(outside))

    rng = generator(seed, "tsvm", "speech", task, "binary")
    penalty = choose(params.penalties, params.folds, train.labels, score, rng)
    w, theta, rounds = binary(train.spikes, train.labels, neuron, penalty)
    return {
        "binary": accuracy(w, theta, test),
        "binary_train": accuracy(w, theta, train),
        "binary_penalty": penalty,
        "binary_rounds": float(rounds),
    }


def _linear(task: str, train: Utterances, test: Utterances, params: RealParams, seed: int) -> dict[str, float]:
    """A linear SVM on the first spike of each afferent."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    x, labels = data.first_spike_features(train.spikes), train.labels

    def fitted(penalty: float, mask: np.ndarray):
        return make_pipeline(StandardScaler(), SVC(kernel="linear", C=penalty)).fit(x[mask], labels[mask])

    def score(penalty: float, inside: np.ndarray, outside: np.ndarray) -> float:
        return float(fitted(penalty, inside).score(x[outside], labels[outside]))

    rng = generator(seed, "tsvm", "speech", task, "linear")
    penalty = choose(params.penalties, params.folds, labels, score, rng)
    model = fitted(penalty, np.ones(len(labels), dtype=bool))
    return {"svm": float(model.score(data.first_spike_features(test.spikes), test.labels)), "svm_penalty": penalty}


def with_cue(spikes: SpikeBatch, ends: np.ndarray, lead: float) -> SpikeBatch:
    """The same patterns with one more afferent, which fires `lead` ms before each end.

    Raises ValueError if that is before 0.
    """
    if (ends < lead).any():
        raise ValueError(f"lead is {lead} ms, and a pattern ends at {ends.min()} ms; expected a shorter lead")
    patterns = []
    for p, end in enumerate(ends):
        times, neurons = spikes[p]
        times, neurons = np.append(times, end - lead), np.append(neurons, spikes.n_neurons)
        order = np.argsort(times, kind="stable")
        patterns.append((times[order], neurons[order]))
    return SpikeBatch.from_patterns(patterns, spikes.n_neurons + 1, spikes.durations)


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
    nulls, firing = (_silent(spikes[labels * sign > 0], neuron) for sign in (-1, 1))
    solution = binary_margin.solve(nulls, firing, c=penalty)
    return solution.w, solution.theta, len(solution.history)


def fires(w: np.ndarray, theta: float, spikes: SpikeBatch, neuron: NeuronParams) -> np.ndarray:
    """Whether w.x reaches theta anywhere in each pattern (P,)."""
    silent = _silent(spikes, neuron)
    return peak(binary_margin.linear_potential(silent, w), silent)[0] >= theta


def choose(
    penalties: Sequence[float], folds: int, labels: np.ndarray, score: Callable[[float, np.ndarray, np.ndarray], float],
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """The penalty of the best mean score over stratified folds, the smallest among equals.

    score(penalty, train, test) takes masks of the patterns.
    """
    fold = np.empty(len(labels), dtype=int)
    for label in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == label))
        fold[places] = np.arange(len(places)) % folds
    means = [np.mean([score(c, fold != k, fold == k) for k in range(folds)]) for c in sorted(penalties)]
    return sorted(penalties)[int(np.argmax(means))]


def _silent(spikes: SpikeBatch, neuron: NeuronParams) -> layout.Layout:
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    return layout.build(spikes, [np.empty(0)] * len(spikes), psp, neuron.tau_c, 0.0, exact=False)
