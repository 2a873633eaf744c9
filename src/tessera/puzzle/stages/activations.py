"""Run the parent on one shard of the calibration text and keep its hidden states before each layer."""

from pathlib import Path

from pydantic import Field

from tessera.common import files, progress, stage
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

    from tessera.puzzle import compute
    from tessera.puzzle.library.activations import store_before, store_mask
    from tessera.puzzle.library.walk import calibration
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading, memory

    texts = calibration(tokens, params.calibration, params.valid_windows, params.seed)
    devices = compute.start_all(params.compute)
    needs = memory.activations(architectures.read(parent), params.calibration, params.valid_windows)
    memory.announce(f"parent's activations, shard {shard}", needs, devices, activations)
    model = loading.load(parent, devices)
    layers = range(len(model.layers))
    with files.replacing_directory(activations) as directory:
        for split, shards in texts.items():
            track = partial(progress.track, description=f"parent's activations, {split}")
            store_before(layers, model, shards[shard].tokens, directory / split, track)
            store_mask(shards[shard].mask, directory / split)


if __name__ == "__main__":
    stage.run(main)
