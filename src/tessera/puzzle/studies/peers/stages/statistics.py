"""Collect the statistics of the parent by which the peers prune, in one pass over the calibration text."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.params import CalibrationParams, ComputeParams


class Params(Section):
    """The calibration text, and the seed of the whole."""

    calibration: CalibrationParams
    compute: ComputeParams
    seed: int


def main(params: Params, parent: Path, tokens: Path, statistics: Path) -> None:
    """Write block influence, and mean, variance and magnitude of every FFN channel."""
    from dataclasses import asdict

    from tessera.puzzle import compute
    from tessera.puzzle.models import loading
    from tessera.puzzle.studies.peers import pruning
    from tessera.puzzle.text import read

    window = params.calibration.window
    count = max(1, params.calibration.tokens // window)
    # The text that healing, and the block library, learn from as well.
    text = read(tokens, "train", window, count, randomness.seed(params.seed, "puzzle", "heal"))
    device = compute.start(params.compute)
    model = loading.load(parent, device).requires_grad_(False)
    collected = pruning.statistics(
        model,
        text.tokens[:, :-1],
        lambda work: progress.track(work, "statistics for peers"),
        text.mask,
    )
    files.save_tensors(statistics, asdict(collected))


if __name__ == "__main__":
    stage.run(main)
