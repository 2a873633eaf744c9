"""Train the surviving pairs of every jobs-th layer together, from the decoupled variants of the block library."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.coupled_params import CoupledParams
from tessera.puzzle.params import CalibrationParams, LibraryParams
from tessera.puzzle.space import Space


class Params(Section):
    """The study, the space, the library that it starts from and its text, and the seed of the whole."""

    coupled: CoupledParams
    space: Space
    calibration: CalibrationParams
    library: LibraryParams
    seed: int


def main(
    params: Params, part: int, parent: Path, tokens: Path, library: list[Path], survivors: Path, coupled_library: Path
) -> None:
    """Write a directory of layer_<i>.safetensors and layer_<i>.json, weights and losses of the layer's pairs.

    The layers are those of job number `part`. Training and held-out text are the library's own.
    """
    from functools import partial

    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import architecture as architectures
    from tessera.puzzle import blocks, child, coupled

    settings, text = params.coupled, params.calibration
    pairs = {int(layer): names for layer, names in files.read_json(survivors)["pairs"].items()}
    mine = sorted(pairs)[part :: settings.jobs]
    architecture, model = architectures.read(parent), blocks.load(parent).requires_grad_(False)

    def embedded(split: str, count: int, *place: str) -> torch.Tensor:
        found = windows(tokens, split, text.window, count, randomness.seed(params.seed, "puzzle", *place))
        return model.model.embed_tokens(torch.from_numpy(found.tokens).long())

    train = embedded("train", text.tokens // text.window, "calibration")
    valid = embedded("valid", params.library.valid_windows, "library", "valid")
    own = params.library.model_copy(update={"distillation": settings.distillation})
    coupled_library.mkdir(parents=True, exist_ok=True)
    # Hidden states of one layer at a time are held.
    for layer in progress.track(range(max(mine, default=-1) + 1), f"coupled blocks, part {part}"):
        generator = partial(randomness.torch_generator, params.seed, "puzzle_coupled", layer)
        builder = coupled.Coupling(model, layer, architecture, params.space, own, train, valid, generator)
        if layer in mine:
            tensors: dict[str, torch.Tensor] = {}
            records = {}
            for pair in pairs[layer]:
                modules = child.subblocks(model, architecture, params.space, library, layer, pair)
                records[pair] = builder.couple(pair, modules, settings.ridges)
                tensors |= coupled.tensors(pair, modules)
            files.save_tensors(coupled_library / f"layer_{layer}.safetensors", tensors)
            files.write_json(coupled_library / f"layer_{layer}.json", records)
        train, valid = builder.train.after, builder.valid.after


if __name__ == "__main__":
    stage.run(main)
