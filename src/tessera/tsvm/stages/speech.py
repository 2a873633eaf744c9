"""Two speakers told apart by a spike at the end of the utterance, beside the tempotron and a linear classifier."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.data import packages
from tessera.data import speech as data
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import speech
from tessera.tsvm.params import NeuronParams, RealParams

#: One pair of speakers: patterns, ends in ms and labels of the training patterns, and of the others.
Side = tuple[SpikeBatch, np.ndarray, np.ndarray]


class Params(Section):
    neuron: NeuronParams
    real: RealParams
    seed: int
    speaker_pairs: list[tuple[int, int]]
    """as (silent, firing); these and the next two are the tempotron's, for the same inputs"""
    levels: int
    frame: float
    members: dict[str, str]


def main(params: Params, vowels: Path, tempotron: Path, accuracies: Path, runs: list[Path]) -> None:
    beside = files.read_parquet(tempotron).set_index("task")
    rows = []
    for (null, target), path in progress.track(list(zip(params.speaker_pairs, runs, strict=True)), "pairs"):
        task = f"vowels_{null}_{target}"
        if task not in beside.index:
            raise ValueError(f"{tempotron}: holds no task {task}; valid are pairs of tempotron.real.speaker_pairs")
        train, test = _sides(params, vowels, null, target)
        row: dict[str, Any] = {
            "task": task,
            "n_train": len(train[2]),
            "n_test": len(test[2]),
            "afferents": train[0].n_neurons,
        }
        for method in (_timed, _binary, _linear):
            row |= method(params, task, train, test)
        row |= {name: float(beside.loc[task, name]) for name in ("tempotron", "logistic", "chance")}
        rows.append(row)
        RunRecord(
            experiment="tsvm/speech",
            name=f"tsvm_speech/task={task}",
            params=params.real.model_dump(mode="json") | {"null": null, "target": target},
            tags={"snakemake.rule": "tsvm_speech", "seed": str(params.seed)},
            metrics={name: float(value) for name, value in row.items() if name != "task"},
            figures=["reports/figures/tsvm/speech.svg"],
            note="Accuracies on test patterns. timed: T-SVM that fires at the end of one speaker's utterances, which a "
            "cue foretells; binary: it may fire at any time. on_time: of the firing speaker's, with one spike, within "
            "the window of the end.",
        ).write(path)
    files.write_parquet(accuracies, pd.DataFrame(rows))


def _sides(params: Params, archive: Path, null: int, target: int) -> tuple[Side, Side]:
    parts = []
    for name in ("vowels_train", "vowels_test"):
        (path, content), *_ = packages.members(archive, params.members[name])
        parts.append(data.parse_ts(content.decode(), path))
    duration = params.frame * max(one.shape[1] for series, _ in parts for one in series)
    chosen = []
    for series, speaker in parts:
        index = np.flatnonzero(np.isin(speaker, (null, target)))
        chosen.append(([series[i] for i in index], speaker[index]))
    levels = data.crossing_levels(chosen[0][0], params.levels)
    train, test = (
        (
            data.level_crossings(series, levels, params.frame, duration),
            params.frame * np.array([one.shape[1] for one in series], dtype=float),
            np.where(speaker == target, 1, -1),
        )
        for series, speaker in chosen
    )
    return train, test


def _timed(params: Params, task: str, train: Side, test: Side) -> dict[str, float]:
    wanted, neuron = params.real, params.neuron
    train, test = ((speech.with_cue(spikes, ends, wanted.lead), ends, labels) for spikes, ends, labels in (train, test))
    spikes, ends, labels = train

    def outputs(model, side: Side) -> list[np.ndarray]:
        return speech.until_end(model.simulate(side[0]), side[1], wanted.window)

    def accuracy(model, side: Side) -> float:
        fired = np.array([len(one) > 0 for one in outputs(model, side)])
        return float((fired == (side[2] > 0)).mean())

    def part(mask: np.ndarray) -> Side:
        return spikes.take(mask), ends[mask], labels[mask]

    def score(penalty: float, inside: np.ndarray, outside: np.ndarray) -> float:
        return accuracy(speech.timed(*part(inside), neuron, penalty), part(outside))

    rng = generator(params.seed, "tsvm", "speech", task, "timed")
    penalty = speech.choose(wanted.penalties, wanted.folds, labels, score, rng)
    model = speech.timed(spikes, ends, labels, neuron, penalty)
    firing = [(one, end) for one, end, label in zip(outputs(model, test), test[1], test[2], strict=True) if label > 0]
    on_time = [len(one) == 1 and abs(one[0] - end) <= wanted.window for one, end in firing]
    first = [abs(one[0] - end) for one, end in firing if len(one)]
    return {
        "timed": accuracy(model, test),
        "timed_train": accuracy(model, train),
        "timed_penalty": penalty,
        "on_time": float(np.mean(on_time)),
        "n_firing": len(firing),
        "median_error_ms": float(np.median(first)) if first else -1.0,
    }


def _binary(params: Params, task: str, train: Side, test: Side) -> dict[str, float]:
    wanted, neuron = params.real, params.neuron
    spikes, _, labels = train

    def score(penalty: float, inside: np.ndarray, outside: np.ndarray) -> float:
        w, theta, _ = speech.binary(spikes.take(inside), labels[inside], neuron, penalty)
        return float((speech.fires(w, theta, spikes.take(outside), neuron) == (labels[outside] > 0)).mean())

    rng = generator(params.seed, "tsvm", "speech", task, "binary")
    penalty = speech.choose(wanted.penalties, wanted.folds, labels, score, rng)
    w, theta, rounds = speech.binary(spikes, labels, neuron, penalty)
    found = [float((speech.fires(w, theta, side[0], neuron) == (side[2] > 0)).mean()) for side in (test, train)]
    return {"binary": found[0], "binary_train": found[1], "binary_penalty": penalty, "binary_rounds": float(rounds)}


def _linear(params: Params, task: str, train: Side, test: Side) -> dict[str, float]:
    """A linear SVM on the first spike of each afferent."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    x, labels = data.first_spike_features(train[0]), train[2]

    def fitted(penalty: float, mask: np.ndarray):
        return make_pipeline(StandardScaler(), SVC(kernel="linear", C=penalty)).fit(x[mask], labels[mask])

    def score(penalty: float, inside: np.ndarray, outside: np.ndarray) -> float:
        return float(fitted(penalty, inside).score(x[outside], labels[outside]))

    rng = generator(params.seed, "tsvm", "speech", task, "linear")
    penalty = speech.choose(params.real.penalties, params.real.folds, labels, score, rng)
    model = fitted(penalty, np.ones(len(labels), dtype=bool))
    return {"svm": float(model.score(data.first_spike_features(test[0]), test[2])), "svm_penalty": penalty}


if __name__ == "__main__":
    stage.run(main)
