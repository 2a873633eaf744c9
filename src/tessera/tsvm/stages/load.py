"""Margins, feasible fraction and free-running scores at one load: hard and soft margin, and the perceptron."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tsvm.params import LoadParams, NeuronParams


class Params(Section):
    """The neuron, the problems, and the seed of the whole study."""

    neuron: NeuronParams
    load: LoadParams
    seed: int


def main(params: Params, targets: int, problems: Path) -> None:
    """Write one row per problem with this many targets."""
    from tessera.tsvm import loads

    files.write_parquet(problems, loads.solve(params.load, params.neuron, targets, params.seed))


if __name__ == "__main__":
    stage.run(main)
