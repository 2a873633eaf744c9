"""One random task: how much noise the weights of every method tolerate, and what is predicted of them."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tsvm.params import NeuronParams, NoiseParams


class Params(Section):
    """The neuron, tasks and methods, and the seed of the whole study."""

    neuron: NeuronParams
    noise: NoiseParams
    seed: int


def main(params: Params, problem: int, curves: Path, critical: Path) -> None:
    """Write scores by method and level of noise, and critical levels by method."""
    from tessera.tsvm import comparison

    scores, levels = comparison.under_noise(params.noise, params.neuron, problem, params.seed)
    files.write_parquet(curves, scores)
    files.write_parquet(critical, levels)


if __name__ == "__main__":
    stage.run(main)
