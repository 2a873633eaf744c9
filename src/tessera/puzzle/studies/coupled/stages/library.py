"""Train the surviving pairs of every jobs-th layer together, from the decoupled variants of the block library."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import CalibrationParams, ComputeParams, LibraryParams
from tessera.puzzle.studies.coupled.params import CoupledParams


class Params(Section):
    """The study, the space, the library that it starts from and its text, and the seed of the whole."""

    coupled: CoupledParams
    space: Space
    calibration: CalibrationParams
    library: LibraryParams
    compute: ComputeParams
    seed: int


def main(
    params: Params, part: int, parent: Path, tokens: Path, library: list[Path], survivors: Path, coupled_library: Path
) -> None:
    """Write a directory of layer_<i>.safetensors and layer_<i>.json, weights and losses of the layer's pairs.

    The layers are those of job number `part`. Training and held-out text are the library's own.
    """
    import shutil
    from functools import partial

    import torch

    from tessera.puzzle import child, compute
    from tessera.puzzle.library.activations import StoredStates, store_before
    from tessera.puzzle.models import loading
    from tessera.puzzle.studies.coupled import pairs as coupled
    from tessera.puzzle.text import Text, read

    settings, text = params.coupled, params.calibration
    pairs = {int(layer): names for layer, names in files.read_json(survivors)["pairs"].items()}
    mine = sorted(pairs)[part :: settings.jobs]
    device = compute.start(params.compute)
    model = loading.load(parent, device).requires_grad_(False)

    def words(split: str, count: int, *name: str) -> Text:
        return read(tokens, split, text.window, count, randomness.seed(params.seed, "puzzle", *name), target=False)

    def states(split: str, place: Path) -> dict[int, StoredStates]:
        track = partial(progress.track, description=f"parent's activations, {split}")
        return store_before(mine, model, texts[split].tokens, place / split, track)

    texts = {
        "train": words("train", text.tokens // text.window, "calibration"),
        "valid": words("valid", params.library.valid_windows, "library", "valid"),
    }
    masks = texts["train"].mask, texts["valid"].mask

    schedule = params.library.model_copy(update={"distillation": settings.distillation})
    coupled_library.mkdir(parents=True, exist_ok=True)
    with files.scratch_directory(coupled_library) as scratch:
        train, valid = states("train", scratch), states("valid", scratch)
        for layer in progress.track(mine, f"coupled blocks, part {part}"):
            stream = partial(randomness.torch_generator, params.seed, "puzzle_coupled", layer)
            around = scratch / str(layer)
            around.mkdir()
            where = (train[layer], valid[layer], stream, around, masks)
            builder = coupled.Coupling(model, layer, params.space, schedule, *where)
            tensors: dict[str, torch.Tensor] = {}
            records = {}
            for pair in pairs[layer]:
                modules = child.subblocks(model, params.space, library, layer, pair)
                records[pair] = builder.couple(pair, modules, settings.ridges)
                tensors |= coupled.tensors(pair, modules)
            files.save_tensors(coupled_library / f"layer_{layer}.safetensors", tensors)
            files.write_json(coupled_library / f"layer_{layer}.json", records)
            shutil.rmtree(around)


if __name__ == "__main__":
    stage.run(main)
