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

    train has every shards-th window from number `shard` on, valid the shard's run of the held-out windows.
    """
    from functools import partial

    import numpy as np
    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import compute
    from tessera.puzzle.library.activations import store_before
    from tessera.puzzle.models import loading

    settings = params.calibration
    seeds = {
        "train": randomness.seed(params.seed, "puzzle", "calibration"),
        "valid": randomness.seed(params.seed, "puzzle", "library", "valid"),
    }
    train = windows(tokens, "train", settings.window, settings.tokens // settings.window, seeds["train"]).tokens
    valid = windows(tokens, "valid", settings.window, params.valid_windows, seeds["valid"]).tokens
    mine = {"train": train[shard :: settings.shards], "valid": np.array_split(valid, settings.shards)[shard]}
    device = compute.start(params.compute)
    model = loading.load(parent, device)
    layers = range(len(model.layers))
    with files.replacing_directory(activations) as directory:
        for split, text in mine.items():
            track = partial(progress.track, description=f"parent's activations, {split}")
            store_before(layers, model, torch.from_numpy(text).long(), directory / split, track)


if __name__ == "__main__":
    stage.run(main)
