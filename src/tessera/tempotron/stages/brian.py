"""Trained weights in Brian2: the same potential on its grid, and the same decisions."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import BrianParams, NeuronParams


class Params(Section):
    """Neuron, task and devices, and the seed of the whole study."""

    neuron: NeuronParams
    brian: BrianParams
    seed: int


def main(params: Params, trace: Path, checks: Path) -> None:
    """Write the potential of one pattern, and how well Brian2 agrees with the closed form on all of them."""
    from tessera.tempotron import brian

    potential, numbers = brian.check(params.brian, params.neuron, params.seed)
    files.write_parquet(trace, potential)
    files.write_json(checks, numbers)


if __name__ == "__main__":
    stage.run(main)
