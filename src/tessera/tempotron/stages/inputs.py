"""Real inputs: test accuracy of the tempotron beside logistic regression, and the law of the maximum on receptors."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.data import packages, speech
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron import maximum, real
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import max_potential
from tessera.tempotron.params import NeuronParams, RealParams

#: (task, split, train patterns, train labels, test patterns, test labels)
Fold = tuple[str, int, SpikeBatch, np.ndarray, SpikeBatch, np.ndarray]


class Params(Section):
    neuron: NeuronParams
    real: RealParams
    seed: int
    members: dict[str, str]


def main(
    params: Params, vowels: Path, recordings: Path, mnist: Path, accuracies: Path, receptors: Path, run: Path
) -> None:
    wanted, kernel = params.real, DoubleExponential(**params.neuron.model_dump())
    folds = [*_digits(wanted), *_mnist(wanted, mnist, params.members), *_vowels(wanted, vowels, params.members)]
    rows = [_compare(fold, wanted, params) for fold in progress.track(folds, "digits and speech")]
    table = pd.DataFrame(rows)
    files.write_parquet(accuracies, table)
    rng = generator(params.seed, "tempotron", "receptors")
    law, metrics = _receptors(wanted, kernel, recordings, params.members, rng)
    files.write_parquet(receptors, law)
    for task, group in table.groupby("task"):
        metrics |= {f"{task}_{name}": float(group[name].mean()) for name in ("tempotron", "logistic", "chance")}
    RunRecord(
        experiment="tempotron/real",
        name="tempotron_inputs",
        params=wanted.model_dump(mode="json"),
        tags={"snakemake.rule": "tempotron_inputs", "seed": str(params.seed)},
        metrics=metrics,
        figures=["reports/figures/tempotron/real.svg"],
        note="Test accuracy, mean over grouped splits. The logistic regression is given the first spike of each "
        "afferent: all there is in a latency code, a part of a level-crossing code.",
    ).write(run)


def _digits(wanted: RealParams) -> Iterator[Fold]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # Writers follow one another in the file.
    fold = real.contiguous_folds(np.zeros(len(digits.target)), wanted.folds)
    yield from _images("digits", wanted.digit_pairs, digits.data / 16, digits.target, fold, wanted)


def _mnist(wanted: RealParams, archive: Path, members: dict[str, str]) -> Iterator[Fold]:
    (path, content), *_ = packages.members(archive, members["mnist"])
    grey, digit = real.parse_images(content, path)
    # The file is sorted by digit.
    yield from _images("mnist", wanted.mnist_pairs, grey, digit, real.contiguous_folds(digit, wanted.folds), wanted)


def _images(
    name: str, pairs: list[tuple[int, int]], grey: np.ndarray, digit: np.ndarray, fold: np.ndarray, wanted: RealParams
) -> Iterator[Fold]:
    for null, target in pairs:
        of_pair = np.isin(digit, (null, target))
        spikes = real.latency_code(grey[of_pair], wanted.digit_duration)
        labels = np.where(digit[of_pair] == target, 1, -1)
        for i in range(wanted.folds):
            test = fold[of_pair] == i
            yield f"{name}_{null}_{target}", i, spikes.take(~test), labels[~test], spikes.take(test), labels[test]


def _vowels(wanted: RealParams, archive: Path, members: dict[str, str]) -> Iterator[Fold]:
    parts = []
    for name in ("vowels_train", "vowels_test"):
        (path, content), *_ = packages.members(archive, members[name])
        parts.append(speech.parse_ts(content.decode(), path))
    (train, train_speaker), (test, test_speaker) = parts
    duration = wanted.frame * max(one.shape[1] for one in train + test)
    for null, target in wanted.speaker_pairs:
        chosen = [np.flatnonzero(np.isin(speaker, (null, target))) for speaker in (train_speaker, test_speaker)]
        levels = speech.crossing_levels([train[i] for i in chosen[0]], wanted.levels)
        sides: list = []
        for series, speaker, index in zip((train, test), (train_speaker, test_speaker), chosen, strict=True):
            sides.append(speech.level_crossings([series[i] for i in index], levels, wanted.frame, duration))
            sides.append(np.where(speaker[index] == target, 1, -1))
        yield f"vowels_{null}_{target}", 0, *sides


def _compare(fold: Fold, wanted: RealParams, params: Params) -> dict:
    """One row: accuracies on the test patterns. Nothing is tuned on them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    task, split, train, train_labels, test, test_labels = fold
    model = Tempotron(
        **params.neuron.model_dump(),
        learning_rate=wanted.rate / train.n_neurons,
        momentum=wanted.momentum,
        margin=wanted.margin,
        max_epochs=wanted.max_epochs,
        random_state=generator(params.seed, "tempotron", "real", task, split),
    ).fit(train, train_labels)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    linear.fit(speech.first_spike_features(train), train_labels)
    return {
        "task": task,
        "split": split,
        "n_train": len(train),
        "n_test": len(test),
        "afferents": train.n_neurons,
        "tempotron": float(model.score(test, test_labels)),
        "tempotron_train": float(model.score(train, train_labels)),
        "logistic": float(linear.score(speech.first_spike_features(test), test_labels)),
        "chance": float(max((test_labels > 0).mean(), (test_labels < 0).mean())),
        "epochs": model.n_epochs_,
        "solved": model.converged_,
    }


def _receptors(wanted: RealParams, kernel: DoubleExponential, archive: Path, members: dict[str, str], rng):
    recordings = []
    for name in ("receptors_1", "receptors_2"):
        (path, content), *_ = packages.members(archive, members[name])
        recordings.append(real.parse_spike_times(content.decode(), path))
    cut = real.windows(recordings, wanted.window)
    spikes = real.shuffled_windows(cut, wanted.receptor_patterns, wanted.window, rng)
    weights = rng.normal(size=len(cut))
    weights -= weights.mean()
    sigma, rate = real.potential_statistics(weights, spikes, kernel, skip=2 * kernel.tau_m)
    h = max_potential(weights, spikes, kernel).v_max / sigma
    k, k_poisson = wanted.window * rate, maximum.effective_times(wanted.window, kernel)
    metrics = {"receptor_afferents": float(len(cut)), "receptor_k": k, "receptor_k_poisson": k_poisson}
    metrics |= {"receptor_median": float(np.median(h)), "receptor_median_rice": maximum.rice_median(k)}
    metrics |= {f"receptor_sup_{law}": maximum.sup_distance(h, law, k) for law in maximum.LAWS}
    metrics |= {"receptor_sup_rice_poisson_k": maximum.sup_distance(h, "rice", k_poisson)}
    p = (np.arange(400) + 0.5) / 400
    return pd.DataFrame({"p": p, "h": np.quantile(h, p), "k": k, "k_poisson": k_poisson}), metrics


if __name__ == "__main__":
    stage.run(main)
