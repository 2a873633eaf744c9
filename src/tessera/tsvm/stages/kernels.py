"""The exclusive-or over kernels: margins or proofs that there are none, and how much noise each neuron tolerates."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tsvm.params import KernelsParams, NeuronParams


class Params(Section):
    """The neuron, the task and its noise, and the seed of the whole study."""

    neuron: NeuronParams
    kernels: KernelsParams
    seed: int


def main(params: Params, margins: Path, noise: Path) -> None:
    """Write margins by kernel, and scores by kernel, kind of noise and level."""
    from tessera.tsvm import kernel_noise

    by_kernel, scores = kernel_noise.compare(params.kernels, params.neuron, params.seed)
    files.write_parquet(margins, by_kernel)
    files.write_parquet(noise, scores)


if __name__ == "__main__":
    stage.run(main)
