"""Run the children of one group: KL to the parent as assembled, and after a fixed short healing."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import CalibrationParams, ComputeParams, HealParams, ScoresParams
from tessera.puzzle.studies.validity.params import ValidityParams


class Params(Section):
    """The study, the space, the scores' text, healing and its text, and the seed of the whole."""

    validity: ValidityParams
    space: Space
    scores: ScoresParams
    calibration: CalibrationParams
    heal: HealParams
    compute: ComputeParams
    seed: int


def main(
    params: Params,
    group: str,
    parent: Path,
    tokens: Path,
    library: list[Path],
    children: Path,
    metrics: Path,
    teacher_cache: Path | None = None,
) -> None:
    """Write the group's rows with KL as `scored` (on the scores' text), `assembled` and `healed` (on test text).

    teacher_cache is where the parent's hidden states are kept if heal.teacher = cache.
    """
    from tessera.puzzle import child as assembly
    from tessera.puzzle import compute
    from tessera.puzzle.heal.train import heal
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.text import read

    rows = files.read_json(children)
    if group not in rows:
        raise ValueError(f"{children}: no group {group!r}; expected one of {', '.join(rows)}")
    device = compute.start(params.compute)
    teacher = loading.load(parent, device).requires_grad_(False)
    length, settings = params.scores.window, params.validity
    # The very windows of the scores, and of the frontier's measurement.
    scored = read(tokens, "valid", length, params.scores.windows, randomness.seed(params.seed, "puzzle", "scores"))
    test = read(tokens, "test", length, settings.windows, randomness.seed(params.seed, "puzzle", "frontier"))
    seen = Reference(teacher, scored.tokens, scored.document, scored.mask)
    unseen = Reference(teacher, test.tokens, test.document, test.mask)
    window = params.calibration.window
    count = max(1, params.calibration.tokens // window)
    train = read(tokens, "train", window, count, randomness.seed(params.seed, "puzzle", "heal"))
    for row in progress.track(rows[group], f"validity, {group}"):
        model = assembly.assemble(teacher, params.space, library, row["blocks"])
        row["scored"], row["assembled"] = seen.measure(model), unseen.measure(model)
        order = randomness.torch_generator(params.seed, "puzzle", "heal", "order")
        how = (params.heal, settings.healing, order)
        curve = heal(teacher, model, train.tokens, *how, teacher_cache=teacher_cache, mask=train.mask)
        row["healed"], row["healing_tokens"] = unseen.measure(model), curve.tokens[-1] if curve.tokens else 0
    files.write_json(metrics, rows[group])


if __name__ == "__main__":
    stage.run(main)
