"""Run a target's children of decoupled and coupled blocks: KL to the parent as assembled, and after equal healing."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import CalibrationParams, ComputeParams, HealParams, ScoresParams
from tessera.puzzle.studies.coupled.params import CoupledParams


class Params(Section):
    """The study, the space, the length of the scores' windows, healing and its text, and the seed of the whole."""

    coupled: CoupledParams
    space: Space
    scores: ScoresParams
    calibration: CalibrationParams
    heal: HealParams
    compute: ComputeParams
    seed: int


def main(
    params: Params,
    parent: Path,
    tokens: Path,
    library: list[Path],
    coupled_library: list[Path],
    children: Path,
    metrics: Path,
    teacher_cache: Path | None = None,
) -> None:
    """Write the children's rows with their metrics on test text, `assembled` and `healed`, and the healing curve.

    Children of the same blocks are run once. teacher_cache is where the parent's hidden states are kept if
    heal.teacher = cache.
    """
    from dataclasses import asdict

    from tessera.puzzle import compute
    from tessera.puzzle.heal.train import heal
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.studies.coupled import pairs as coupled
    from tessera.puzzle.text import read

    device = compute.start(params.compute)
    settings, teacher = params.coupled, loading.load(parent, device).requires_grad_(False)
    # The windows on which the frontier is measured.
    seed = randomness.seed(params.seed, "puzzle", "frontier")
    test = read(tokens, "test", params.scores.window, settings.windows, seed)
    reference = Reference(teacher, test.tokens, test.document, test.mask)
    window = params.calibration.window
    count = max(1, params.calibration.tokens // window)
    train = read(tokens, "train", window, count, randomness.seed(params.seed, "puzzle", "heal"))
    rows = files.read_json(children)
    measured: dict[tuple[str, ...], dict] = {}
    for row in progress.track(rows, "coupled children"):
        choice = tuple(row["blocks"])
        if choice not in measured:
            model = coupled.assemble(teacher, params.space, library, coupled_library, choice)
            assembled = reference.measure(model)
            order = randomness.torch_generator(params.seed, "puzzle", "heal", "order")
            how = (params.heal, settings.healing, order)
            curve = heal(teacher, model, train.tokens, *how, teacher_cache=teacher_cache, mask=train.mask)
            measured[choice] = {"assembled": assembled, "healed": reference.measure(model), "curve": asdict(curve)}
        row.update(measured[choice])
    files.write_json(metrics, rows)


if __name__ == "__main__":
    stage.run(main)
