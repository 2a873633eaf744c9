"""What the margin's precision tau_c and the hold window do: margin, and errors under jitter."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tsvm.params import NeuronParams, NoiseParams, SweepParams


class Params(Section):
    """The neuron, the tasks of the noise study, what is varied, and the seed of the whole study."""

    neuron: NeuronParams
    noise: NoiseParams
    sweep: SweepParams
    seed: int


def main(params: Params, margins: Path) -> None:
    """Write one row per problem, tau_c and hold window."""
    from tessera.tsvm import comparison

    files.write_parquet(margins, comparison.sweep(params.noise, params.sweep, params.neuron, params.seed))


if __name__ == "__main__":
    stage.run(main)
