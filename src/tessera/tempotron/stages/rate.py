"""How fast a tempotron learns at one learning rate and momentum: the objective by which both are tuned."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import NeuronParams, RateParams


class Params(Section):
    """Neuron, tasks and the two numbers that are tuned, and the seed of the whole study."""

    neuron: NeuronParams
    rate: RateParams
    seed: int


def main(params: Params, metrics: Path) -> None:
    """Write the mean log10 of epochs to a solution, and the fraction of tasks solved."""
    from tessera.tempotron import findable

    files.write_json(metrics, findable.learning_speed(params.rate, params.neuron, params.seed))


if __name__ == "__main__":
    stage.run(main)
