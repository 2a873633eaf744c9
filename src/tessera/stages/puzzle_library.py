"""Build the block library of every jobs-th layer: all variants, initialised and distilled."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.params import CalibrationParams, LibraryParams
from tessera.puzzle.space import Space


class Params(Section):
    """The space, the library, its calibration text, and the seed of the whole study."""

    space: Space
    calibration: CalibrationParams
    library: LibraryParams
    seed: int


def main(params: Params, part: int, parent: Path, tokens: Path, activations: list[Path], library: Path) -> None:
    """Write a directory of layer_<i>.safetensors and layer_<i>.json, the variants' weights and losses.

    The layers are those of job number `part`; activations are the shards of the calibration text.
    """
    from functools import partial

    import numpy as np
    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import architecture as architectures
    from tessera.puzzle import blocks
    from tessera.puzzle.library import LayerLibrary
    from tessera.puzzle.score import hidden_states

    architecture = architectures.read(parent)
    params.space.check(architecture)
    model = blocks.load(parent).requires_grad_(False)
    settings = params.library
    held_out = windows(
        tokens,
        "valid",
        params.calibration.window,
        settings.valid_windows,
        randomness.seed(params.seed, "puzzle", "library", "valid"),
    )
    valid = hidden_states(model, torch.from_numpy(held_out.tokens).long())[0]
    layers = range(architecture.num_layers)[part :: settings.jobs]
    library.mkdir(parents=True, exist_ok=True)
    for layer in progress.track(layers, f"block library, part {part}"):
        shards = [files.read_npy(path / f"layer_{layer}.npy") for path in activations]
        builder = LayerLibrary(
            model,
            layer,
            architecture,
            params.space,
            settings,
            torch.from_numpy(np.concatenate(shards)),
            valid[layer],
            partial(randomness.torch_generator, params.seed, "puzzle", "library", layer),
        )
        tensors, records = builder.build()
        files.save_tensors(library / f"layer_{layer}.safetensors", tensors)
        files.write_json(library / f"layer_{layer}.json", records)


if __name__ == "__main__":
    stage.run(main)
