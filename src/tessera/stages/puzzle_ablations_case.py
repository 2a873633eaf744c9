"""Choose one case's child, heal it with one seed's text and order, and measure it on test text."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.ablations_params import AblationsParams
from tessera.puzzle.params import CalibrationParams, HealParams, ScoresParams
from tessera.puzzle.space import Space


class Params(Section):
    """The ablations, and what of the main chain the cases share."""

    ablations: AblationsParams
    space: Space
    scores: ScoresParams
    calibration: CalibrationParams
    heal: HealParams
    seed: int


def main(
    params: Params,
    case: str,
    replicate: int,
    parent: Path,
    tokens: Path,
    library: list[Path],
    scores: list[Path],
    responses: Path,
    costs: Path,
    metrics: Path,
) -> None:
    """Write the child's choice, predicted KL, healing curve, and metrics as assembled and healed.

    responses are scores with the cosine of last hidden states, of every exchange.
    """
    from dataclasses import asdict

    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import ablations, blocks
    from tessera.puzzle.child import assemble
    from tessera.puzzle.heal import heal
    from tessera.puzzle.validity import Reference

    settings = params.ablations
    if case not in settings.cases:
        raise ValueError(f"there is no case {case!r}; valid are {', '.join(settings.cases)}")
    one = settings.cases[case]
    every = {int(layer): found for path in scores for layer, found in files.read_json(path).items()}
    known = ablations.with_cosine(every, {int(k): v for k, v in files.read_json(responses).items()})
    generator = randomness.generator(params.seed, "puzzle_ablations", case, replicate)
    choice = ablations.choose(known, files.read_parquet(costs), one, settings.speedup, generator)
    chosen = list(choice.choice.values())
    teacher = blocks.load(parent).requires_grad_(False)
    child = assemble(teacher, parent, params.space, library, chosen)
    test = windows(
        tokens, "test", params.scores.window + 1, settings.windows, randomness.seed(params.seed, "puzzle", "frontier")
    )
    reference = Reference(teacher, torch.from_numpy(test.tokens).long(), test.document)
    assembled = reference.measure(child)
    window = params.calibration.window
    text = windows(
        tokens, "train", window + 1, max(1, params.calibration.tokens // window),
        randomness.seed(params.seed, "puzzle_ablations", "heal", replicate),
    )  # fmt: skip
    weights = {"cosine": one.cosine, "kl": one.kl, "lm": one.lm}
    curve = heal(
        teacher,
        child,
        torch.from_numpy(text.tokens).long(),
        params.heal.model_copy(update=weights),
        settings.healing,
        randomness.torch_generator(params.seed, "puzzle_ablations", "order", replicate),
        track=lambda steps: progress.track(steps, f"healing {case}, replicate {replicate}"),
    )
    files.write_json(
        metrics,
        {"case": case, "replicate": replicate, "blocks": chosen, "objective": choice.value, "curve": asdict(curve)}
        | {"assembled": assembled, "healed": reference.measure(child), "costs": choice.costs},
    )


if __name__ == "__main__":
    stage.run(main)
