"""Spiking neurons that read out the optimal weights by their spike count."""

from pathlib import Path

from tessera.balanced.params import LifParams
from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """Neuron, task and noise, and the seed of the whole study."""

    lif: LifParams
    seed: int


def main(params: Params, result: Path) -> None:
    """Write areas and spike counts of all trials."""
    from tessera.balanced import experiments

    files.write_json(result, experiments.spiking(params.lif, params.seed))


if __name__ == "__main__":
    stage.run(main)
