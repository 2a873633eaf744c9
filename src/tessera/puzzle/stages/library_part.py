"""Build the block library of every jobs-th layer: all variants, initialised and distilled."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, LibraryParams


class Params(Section):
    """The space, the library, and the seed of the whole study."""

    space: Space
    library: LibraryParams
    compute: ComputeParams
    seed: int


def main(params: Params, part: int, parent: Path, activations: list[Path], library: Path) -> None:
    """Write a directory of layer_<i>.safetensors and layer_<i>.json, the variants' weights and losses.

    The layers are those of job number `part`; activations are the shards of the calibration text. In memory are one
    layer of the parent and some windows of the text.
    """
    from functools import partial

    from tessera.puzzle import compute
    from tessera.puzzle.library.activations import StoredStates
    from tessera.puzzle.library.build import LayerLibrary
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models.streaming import Streamed

    architecture = architectures.read(parent)
    params.space.check(architecture)

    model = Streamed(parent, compute.start(params.compute))

    def build(layer: int) -> None:
        train, valid = (
            StoredStates([shard / split / f"layer_{layer}.npy" for shard in activations])
            for split in ("train", "valid")
        )
        stream = partial(randomness.torch_generator, params.seed, "puzzle", "library", layer)
        with files.scratch_directory(library / f"layer_{layer}") as scratch:
            builder = LayerLibrary(model, layer, params.space, params.library, train, valid, stream, scratch)
            tensors, records = builder.build()
        files.save_tensors(library / f"layer_{layer}.safetensors", tensors)
        files.write_json(library / f"layer_{layer}.json", records)

    for layer in progress.track(
        range(architecture.num_layers)[part :: params.library.jobs], f"block library, part {part}"
    ):
        build(layer)


if __name__ == "__main__":
    stage.run(main)
