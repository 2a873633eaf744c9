"""Real inputs: test accuracy of the tempotron and of logistic regression, and the law of the maximum on receptors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tessera.common.randomness import generator
from tessera.data import speech
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron import maximum, real_inputs
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import max_potential
from tessera.tempotron.params import NeuronParams, RealParams

#: Series (channels, frames) of utterances, and the speaker of each.
Utterances = tuple[list[np.ndarray], np.ndarray]


class Fold(NamedTuple):
    """One split of a task, labels +-1."""

    task: str
    split: int
    train: SpikeBatch
    train_labels: np.ndarray
    test: SpikeBatch
    test_labels: np.ndarray


def digits(p: RealParams) -> Iterator[Fold]:
    """Splits of the pairs of 64-pixel digits that scikit-learn has."""
    from sklearn.datasets import load_digits

    images = load_digits()
    # Writers follow one another in the file.
    fold = real_inputs.contiguous_folds(np.zeros(len(images.target)), p.folds)
    yield from _images("digits", p.digit_pairs, images.data / 16, images.target, fold, p)


def mnist(p: RealParams, grey: np.ndarray, digit: np.ndarray) -> Iterator[Fold]:
    """Splits of the pairs of MNIST's digits: grey levels (P, N) in [0, 1], digits (P,), sorted by digit."""
    yield from _images("mnist", p.mnist_pairs, grey, digit, real_inputs.contiguous_folds(digit, p.folds), p)


def _images(
    name: str, pairs: list[tuple[int, int]], grey: np.ndarray, digit: np.ndarray, fold: np.ndarray, p: RealParams
) -> Iterator[Fold]:
    for null, target in pairs:
        of_pair = np.isin(digit, (null, target))
        spikes = real_inputs.latency_code(grey[of_pair], p.digit_duration)
        labels = np.where(digit[of_pair] == target, 1, -1)
        for i in range(p.folds):
            test = fold[of_pair] == i
            yield Fold(f"{name}_{null}_{target}", i, spikes[~test], labels[~test], spikes[test], labels[test])


def vowels(p: RealParams, train: Utterances, test: Utterances) -> Iterator[Fold]:
    """The data set's own split of the pairs of speakers, coded by level crossings."""
    duration = p.frame * max(series.shape[1] for series in train[0] + test[0])
    for null, target in p.speaker_pairs:
        chosen = [np.flatnonzero(np.isin(speaker, (null, target))) for _, speaker in (train, test)]
        levels = speech.crossing_levels([train[0][i] for i in chosen[0]], p.levels)
        parts: list[Any] = []
        for (series, speaker), index in zip((train, test), chosen, strict=True):
            parts.append(speech.level_crossings([series[i] for i in index], levels, p.frame, duration))
            parts.append(np.where(speaker[index] == target, 1, -1))
        yield Fold(f"vowels_{null}_{target}", 0, *parts)


def compare(fold: Fold, p: RealParams, neuron: NeuronParams, seed: int) -> dict[str, Any]:
    """Return one row of accuracies on the test patterns; nothing is tuned on them.

    The logistic regression sees the first spike of each afferent, which is all there is in a latency code, and part of
    a level-crossing code.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = Tempotron(
        **neuron.model_dump(),
        learning_rate=p.rate / fold.train.n_neurons,
        momentum=p.momentum,
        margin=p.margin,
        max_epochs=p.max_epochs,
        random_state=generator(seed, "tempotron", "real", fold.task, fold.split),
    ).fit(fold.train, fold.train_labels)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    linear.fit(speech.first_spike_features(fold.train), fold.train_labels)
    return {
        "task": fold.task,
        "split": fold.split,
        "n_train": len(fold.train),
        "n_test": len(fold.test),
        "afferents": fold.train.n_neurons,
        "tempotron": float(model.score(fold.test, fold.test_labels)),
        "tempotron_train": float(model.score(fold.train, fold.train_labels)),
        "logistic": float(linear.score(speech.first_spike_features(fold.test), fold.test_labels)),
        "chance": float(max((fold.test_labels > 0).mean(), (fold.test_labels < 0).mean())),
        "epochs": model.n_epochs_,
        "solved": model.converged_,
    }


def receptor_law(
    p: RealParams, recordings: Sequence[np.ndarray], neuron: NeuronParams, seed: int
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Law of the largest potential on spikes that receptors fired, recordings in ms.

    Returns quantiles of the maximum in standard deviations (p, h, k, k_poisson), and statistics: receptor_afferents,
    receptor_k of these spikes and receptor_k_poisson of Poisson input, the median against Rice's, and the largest
    difference from each law.
    """
    rng, kernel = generator(seed, "tempotron", "receptors"), DoubleExponential(**neuron.model_dump())
    afferents = real_inputs.windows(recordings, p.window)
    spikes = real_inputs.shuffled_windows(afferents, p.receptor_patterns, p.window, rng)
    weights = rng.normal(size=len(afferents))
    weights -= weights.mean()
    sigma, rate = real_inputs.potential_statistics(weights, spikes, kernel, skip=2 * kernel.tau_m)
    h = max_potential(weights, spikes, kernel).v_max / sigma
    k, k_poisson = p.window * rate, maximum.effective_times(p.window, kernel)
    statistics = {"receptor_afferents": float(len(afferents)), "receptor_k": k, "receptor_k_poisson": k_poisson}
    statistics |= {"receptor_median": float(np.median(h)), "receptor_median_rice": maximum.rice_median(k)}
    statistics |= {f"receptor_sup_{law}": maximum.sup_distance(h, law, k) for law in maximum.LAWS}
    statistics |= {"receptor_sup_rice_poisson_k": maximum.sup_distance(h, "rice", k_poisson)}
    quantiles = np.quantile(h, maximum.PROBABILITIES)
    return pd.DataFrame({"p": maximum.PROBABILITIES, "h": quantiles, "k": k, "k_poisson": k_poisson}), statistics
