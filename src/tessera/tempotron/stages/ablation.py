"""Momentum, learning rate and margin: what they do to the learning rule, everything else equal."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import AblationParams, NeuronParams


class Params(Section):
    """Neuron, tasks and settings, and the seed of the whole study."""

    neuron: NeuronParams
    ablation: AblationParams
    seed: int


def main(params: Params, trials: Path) -> None:
    """Write one row per setting and task."""
    import pandas as pd

    from tessera.tempotron import ablation

    files.write_parquet(trials, pd.DataFrame(ablation.trials(params.ablation, params.neuron, params.seed)))


if __name__ == "__main__":
    stage.run(main)
