"""Build the block library of a job's layers: all variants, initialised and distilled."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import CalibrationParams, ComputeParams, LibraryParams


class Params(Section):
    """The space, the library and its text, and the seed of the whole study."""

    space: Space
    calibration: CalibrationParams
    library: LibraryParams
    compute: ComputeParams
    seed: int


def main(
    params: Params, part: int, parent: Path, activations: list[Path], library: Path, tokens: Path | None = None
) -> None:
    """Write a directory of layer_<i>.safetensors and layer_<i>.json, the variants' weights and losses.

    The layers are those of job number `part`; activations are the shards of the calibration text, none if the job reads
    tokens and streams. In memory are one layer of the parent and some windows of the text.
    """
    from functools import partial

    import numpy as np
    import torch

    from tessera.puzzle import compute
    from tessera.puzzle.library.activations import StoredStates, stored_mask
    from tessera.puzzle.library.build import LayerLibrary
    from tessera.puzzle.library.walk import calibration, walk
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import memory
    from tessera.puzzle.models.streaming import Streamed
    from tessera.puzzle.text import joined

    architecture, jobs = architectures.read(parent), params.library.jobs
    params.space.check(architecture)
    device, title = compute.start(params.compute), f"block library, part {part}"
    needs = memory.library(architecture, params.space, params.library, params.calibration)
    memory.announce(title, needs, device, library)
    model, track = Streamed(parent, device), partial(progress.track, description=title)

    def build(layer: int, states: dict[str, StoredStates], masks: dict[str, torch.Tensor | None]) -> None:
        stream = partial(randomness.torch_generator, params.seed, "puzzle", "library", layer)
        with files.scratch_directory(library / f"layer_{layer}") as scratch:
            texts = states["train"], states["valid"]
            builder = LayerLibrary(
                model, layer, params.space, params.library, *texts, stream, scratch, (masks["train"], masks["valid"])
            )
            tensors, records = builder.build()
        files.save_tensors(library / f"layer_{layer}.safetensors", tensors)
        files.write_json(library / f"layer_{layer}.json", records)

    splits = ("train", "valid")
    if params.library.stream:
        if tokens is None:
            raise ValueError("library.stream = true: the job needs --tokens")
        shards = calibration(tokens, params.calibration, params.library.valid_windows, params.seed)
        texts = {split: joined(shards[split]) for split in splits}
        mine = np.array_split(range(architecture.num_layers), jobs)[part].tolist()
        with files.scratch_directory(library / "states") as scratch:
            for layer, states in walk(model, {split: texts[split].tokens for split in splits}, mine, scratch, track):
                build(layer, states, {split: texts[split].mask for split in splits})
        return
    masks = {split: stored_mask([shard / split for shard in activations]) for split in splits}
    for layer in track(range(architecture.num_layers)[part::jobs]):
        places = {split: [shard / split / f"layer_{layer}.npy" for shard in activations] for split in splits}
        build(layer, {split: StoredStates(paths) for split, paths in places.items()}, masks)


if __name__ == "__main__":
    stage.run(main)
