"""Assemble one child from the block library and heal it by global distillation."""

from pathlib import Path
from typing import Literal

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.params import CalibrationParams, HealParams
from tessera.puzzle.space import Space


class Params(Section):
    """The space, healing and its text, and the seed of the whole study."""

    space: Space
    calibration: CalibrationParams
    heal: HealParams
    seed: int


def main(
    params: Params,
    method: str,
    schedule: Literal["equal", "full"],
    parent: Path,
    tokens: Path,
    choices: Path,
    library: list[Path],
    checkpoint: Path,
    child: Path,
    curve: Path,
) -> None:
    """Write the healed child of `method` in choices as a Hugging Face directory, and its training curve."""
    from dataclasses import asdict

    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import blocks
    from tessera.puzzle import child as children
    from tessera.puzzle.heal import Checkpoint, heal

    row = children.chosen(choices, method)
    teacher = blocks.load(parent).requires_grad_(False)
    model = children.assemble(teacher, parent, params.space, library, row["blocks"])
    plan = getattr(params.heal, schedule)
    window = params.calibration.window
    count = max(1, params.calibration.tokens // window)
    text = windows(tokens, "train", window + 1, count, randomness.seed(params.seed, "puzzle", "heal"))
    identity = {"blocks": row["blocks"], "schedule": schedule, "params": params.model_dump(mode="json")}
    saved = Checkpoint(checkpoint, identity)
    found = heal(
        teacher,
        model,
        torch.from_numpy(text.tokens).long(),
        params.heal,
        plan,
        # Every method sees the same text in the same order.
        randomness.torch_generator(params.seed, "puzzle", "heal", "order"),
        saved,
        lambda steps: progress.track(steps, f"healing {choices.parent.name}/{method}"),
    )
    children.save(model, parent, child)
    files.write_json(curve, asdict(found))
    saved.remove()


if __name__ == "__main__":
    stage.run(main)
