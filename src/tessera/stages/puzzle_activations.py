"""Run the parent on one shard of the calibration text and keep its hidden states before each layer."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.params import CalibrationParams


class Params(Section):
    """The calibration text, and the seed of the whole study."""

    calibration: CalibrationParams
    seed: int


def main(params: Params, shard: int, parent: Path, tokens: Path, activations: Path) -> None:
    """Write layer_<i>.npy, float32 (windows, T, D), for every shards-th window from number `shard` on."""
    import numpy as np
    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import blocks
    from tessera.puzzle.score import hidden_states

    settings = params.calibration
    seed = randomness.seed(params.seed, "puzzle", "calibration")
    text = windows(tokens, "train", settings.window, settings.tokens // settings.window, seed)
    mine = torch.from_numpy(text.tokens[shard :: settings.shards]).long()
    model = blocks.load(parent)
    states = [np.empty((*mine.shape, model.spec.hidden_size), np.float32) for _ in range(len(model.spec.layers))]
    for i, window in enumerate(progress.track(mine, "parent's activations")):
        for array, state in zip(states, hidden_states(model, window[None])[0], strict=False):
            array[i] = state[0].numpy()
    with files.replacing_directory(activations) as made:
        for i, array in enumerate(states):
            files.write_npy(made / f"layer_{i}.npy", array)


if __name__ == "__main__":
    stage.run(main)
