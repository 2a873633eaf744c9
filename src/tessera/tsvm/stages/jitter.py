"""How well a temporal support vector machine fires on time with jittered inputs: what its settings are tuned by."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tsvm.params import JitterParams, SvmParams


class Params(Section):
    """What is tuned, the tasks, and the seed of the tasks."""

    svm: SvmParams
    task: JitterParams
    seed: int


def main(params: Params, metrics: Path) -> None:
    """Write 1 - mean F1 of spikes on jittered trains and on those learned from, and the share of tasks solved."""
    from tessera.tsvm import jitter

    files.write_json(metrics, jitter.missed(params.svm, params.task, params.seed))


if __name__ == "__main__":
    stage.run(main)
