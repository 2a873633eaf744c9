"""Assemble one child from the block library and refit its linear maps to its own hidden states."""

from dataclasses import asdict
from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import CalibrationParams, ComputeParams, RefitParams


class Params(Section):
    """The space, the refit and its text, and the seed of the whole study."""

    space: Space
    calibration: CalibrationParams
    refit: RefitParams
    compute: ComputeParams
    seed: int


def main(
    params: Params,
    method: str,
    parent: Path,
    tokens: Path,
    choices: Path,
    library: list[Path],
    child: Path,
    fits: Path,
) -> None:
    """Write the refitted child of `method` in choices as a Hugging Face directory, and the errors of its maps.

    The share of the refit is kept that has the least KL on validation text, which fits say.
    """
    from tessera.puzzle import child as children
    from tessera.puzzle import compute
    from tessera.puzzle.heal import validation
    from tessera.puzzle.heal.refit import refit
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading, memory
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.text import joined, read

    row = children.chosen(choices, method)
    devices = compute.start_all(params.compute)
    title, window = f"refit {choices.parent.name}/{method}", params.calibration.window
    needs = memory.refit(architectures.read(parent), params.refit, window)
    memory.announce(title, needs, devices, child)
    teacher = loading.load(parent, devices).requires_grad_(False)
    model = children.assemble(teacher, params.space, library, row["blocks"])
    unseen = read(
        tokens, "valid", window, params.refit.valid_windows, randomness.seed(params.seed, "puzzle", "refit", "kept")
    )
    text = joined(
        [
            read(tokens, split, window, count, randomness.seed(params.seed, "puzzle", "refit", split), target=False)
            for split, count in (("train", params.refit.tokens // window), ("valid", params.refit.valid_windows))
        ]
    )
    with files.scratch_directory(child) as scratch:
        fitted = refit(
            teacher,
            model,
            text.tokens,
            params.refit.valid_windows,
            params.refit,
            scratch,
            text.mask,
            lambda layers: progress.track(layers, title),
        )
    start = children.assemble(teacher, params.space, library, row["blocks"])
    reference = Reference(teacher, unseen.tokens, unseen.document, unseen.mask)
    better, record = validation.best(reference, start, model)
    print(validation.words(title, record), flush=True)
    children.save(better, parent, child)
    files.write_json(fits, {"fits": [asdict(fit) for fit in fitted], "validation": record})


if __name__ == "__main__":
    stage.run(main)
