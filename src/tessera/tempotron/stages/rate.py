"""How fast a tempotron learns at one learning rate and momentum: the objective by which both are tuned."""

from pathlib import Path

from pydantic import Field

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import NeuronParams


class RateParams(Section):
    """The tasks, and the two numbers that are tuned."""

    afferents: int = Field(gt=1)
    k: float = Field(gt=0)
    load: float = Field(gt=0)
    replicates: int = Field(gt=0)
    max_epochs: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    """in thresholds"""
    decay: float = Field(gt=0, le=1)
    """1 less the momentum: what the last steps lose with every new one. Its scale is the logarithm's."""


class Params(Section):
    neuron: NeuronParams
    rate: RateParams
    seed: int


def main(params: Params, metrics: Path) -> None:
    """Write the mean log10 of epochs to a solution, an unsolved task counting as 2 max_epochs, and the share solved."""
    import numpy as np

    from tessera.common.randomness import generator
    from tessera.tempotron.findable import Task, attempt
    from tessera.tempotron.learn import Tempotron

    wanted, neuron = params.rate, params.neuron.model_dump()
    task = Task("single", wanted.afferents, wanted.k, wanted.load)
    model = Tempotron(
        **neuron,
        learning_rate=wanted.learning_rate,
        momentum=1 - wanted.decay,
        max_epochs=wanted.max_epochs,
        init_scale=1e-2,
    )
    found = [
        attempt(task, model, generator(params.seed, "tempotron", "rate", replicate))  # the same tasks for every setting
        for replicate in range(wanted.replicates)
    ]
    epochs = [one.n_epochs_ if one.converged_ else 2 * wanted.max_epochs for one in found]
    files.write_json(
        metrics,
        {"log10_epochs": float(np.mean(np.log10(epochs))), "solved": float(np.mean([one.converged_ for one in found]))},
    )


if __name__ == "__main__":
    stage.run(main)
