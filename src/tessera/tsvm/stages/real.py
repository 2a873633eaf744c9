"""Telling two speakers apart by a spike at the end of the utterance, by the T-SVM and by linear classifiers.

The inputs are the tempotron study's, and so are the accuracies of tempotron and logistic regression.
"""

from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.tsvm.params import NeuronParams, RealParams


class Params(Section):
    """The neuron, the training, the seed of the whole study, and the inputs."""

    neuron: NeuronParams
    real: RealParams
    seed: int
    speaker_pairs: list[tuple[int, int]]
    """as (silent, firing); these and the next two are the tempotron's, for the same inputs"""
    levels: int
    frame: float
    members: dict[str, str]
    """the files of the archive by the names of the data sets"""


def main(params: Params, vowels: Path, tempotron: Path, accuracies: Path) -> None:
    """Write one row per pair of speakers. Raises ValueError if the tempotron's accuracies lack a pair."""
    import pandas as pd

    from tessera.data import packages
    from tessera.data.speech import parse_ts
    from tessera.tsvm import speech

    others = files.read_parquet(tempotron).set_index("task")
    parts = []
    for name in ("vowels_train", "vowels_test"):
        (path, content), *_ = packages.members(vowels, params.members[name])
        parts.append(parse_ts(content.decode(), path))
    rows = []
    for null, target in progress.track(params.speaker_pairs, "pairs"):
        task = f"vowels_{null}_{target}"
        if task not in others.index:
            raise ValueError(f"{tempotron}: has no task {task}; expected all pairs of tempotron.real.speaker_pairs")
        train, test = speech.utterances(parts, null, target, params.levels, params.frame)
        row = {"task": task, "n_train": len(train.labels), "n_test": len(test.labels)}
        row |= {"afferents": train.spikes.n_neurons}
        row |= speech.compare(task, train, test, params.real, params.neuron, params.seed)
        row |= {name: float(others.loc[task, name]) for name in ("tempotron", "logistic", "chance")}
        rows.append(row)
    files.write_parquet(accuracies, pd.DataFrame(rows))


if __name__ == "__main__":
    stage.run(main)
