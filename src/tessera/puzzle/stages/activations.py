"""Run the parent on one shard of the calibration text and keep its hidden states before each layer."""

from pathlib import Path

from pydantic import Field

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.params import CalibrationParams, ComputeParams


class Params(Section):
    """The calibration text, the number of held-out windows, and the seed of the whole study."""

    calibration: CalibrationParams
    valid_windows: int = Field(gt=0)
    compute: ComputeParams
    seed: int


def main(params: Params, shard: int, parent: Path, tokens: Path, activations: Path) -> None:
    """Write train/layer_<i>.npy and valid/layer_<i>.npy, float32 (windows, T, D).

    train has every shards-th window from number `shard` on, valid the shard's run of the held-out windows. Next to them
    is mask.npy, bool (windows, T), the tokens that count, if not all do.
    """
    from functools import partial

    import torch

    from tessera.puzzle import compute
    from tessera.puzzle.library.activations import store_before, store_mask
    from tessera.puzzle.models import loading
    from tessera.puzzle.text import read

    settings = params.calibration
    seeds = {
        "train": randomness.seed(params.seed, "puzzle", "calibration"),
        "valid": randomness.seed(params.seed, "puzzle", "library", "valid"),
    }
    counts = {"train": settings.tokens // settings.window, "valid": params.valid_windows}
    texts = {
        name: read(tokens, name, settings.window, count, seeds[name], target=False) for name, count in counts.items()
    }
    mine = {
        "train": torch.arange(counts["train"])[shard :: settings.shards],
        "valid": torch.arange(counts["valid"]).tensor_split(settings.shards)[shard],
    }
    device = compute.start(params.compute)
    model = loading.load(parent, device)
    layers = range(len(model.layers))
    with files.replacing_directory(activations) as directory:
        for split, text in texts.items():
            track = partial(progress.track, description=f"parent's activations, {split}")
            store_before(layers, model, text.tokens[mine[split]], directory / split, track)
            store_mask(None if text.mask is None else text.mask[mine[split]], directory / split)


if __name__ == "__main__":
    stage.run(main)
