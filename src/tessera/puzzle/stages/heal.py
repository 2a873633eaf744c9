"""Assemble one child from the block library and heal it by global distillation."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import CalibrationParams, ComputeParams, HealParams

if TYPE_CHECKING:
    from tessera.puzzle.models.decoder import LanguageModel


class Params(Section):
    """The space, healing and its text, and the seed of the whole study."""

    space: Space
    calibration: CalibrationParams
    heal: HealParams
    compute: ComputeParams
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
    refitted: Path | None = None,
    teacher_cache: Path | None = None,
) -> None:
    """Write the healed child of `method` in choices as a Hugging Face directory, and its training curve.

    refitted is the child with which healing begins; by default it is assembled from the library. The share of a healing
    in full is kept that has the least KL on validation text, which the curve says; the equal one, by which methods are
    compared, stays as it is. teacher_cache is the directory of the parent's hidden states with heal.teacher = cache.
    Under torchrun every process runs this; the first one writes.
    """
    from dataclasses import asdict

    from tessera.puzzle import child as children
    from tessera.puzzle import compute
    from tessera.puzzle.heal import parallel, validation
    from tessera.puzzle.heal.train import Checkpoint, heal
    from tessera.puzzle.library import distill
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading, memory
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.text import read

    if params.heal.optimiser_states == "8bit":
        distill.adamw_8bit()  # refused before anything is read
    # How the same losses are computed, and what is done with the child, is not part of a healing's identity.
    same = {"gradient_checkpointing", "teacher", "processes", "valid_windows"}
    if params.heal.optimiser_states == "float32":
        same.add("optimiser_states")
    decisive = params.model_dump(mode="json", exclude={"heal": same, "compute": {"memory"}})
    window = params.calibration.window
    count = max(1, params.calibration.tokens // window)
    title = f"healing {choices.parent.name}/{method}"
    processes = params.heal.processes
    with parallel.launched(processes, compute.name(params.compute)) as group:
        device = compute.start(params.compute)
        # What several processes split is whole on no GPU.
        home = device if processes == 1 else "cpu"
        row = children.chosen(choices, method)
        needs = memory.healing(
            architectures.read(parent),
            params.space,
            params.heal,
            getattr(params.heal, schedule),
            window,
            row["blocks"],
        )
        if group.rank == 0:
            memory.announce(title, needs, device, child)
        teacher = loading.load(parent, home).requires_grad_(False)

        def start() -> "LanguageModel":
            if refitted:
                return loading.load(refitted, home).requires_grad_(False)
            return children.assemble(teacher, params.space, library, row["blocks"])

        model = start()
        text = read(tokens, "train", window, count, randomness.seed(params.seed, "puzzle", "heal"))
        unseen = None
        if schedule == "full":
            kept_seed = randomness.seed(params.seed, "puzzle", "heal", "kept")
            unseen = read(tokens, "valid", window, params.heal.valid_windows, kept_seed)
        saved = Checkpoint(checkpoint, {"blocks": row["blocks"], "schedule": schedule, "params": decisive})
        losses = heal(
            teacher,
            model,
            text.tokens,
            params.heal,
            getattr(params.heal, schedule),
            # Every method sees the same text in the same order.
            randomness.torch_generator(params.seed, "puzzle", "heal", "order"),
            saved,
            iter if group.rank else lambda steps: progress.track(steps, title),
            teacher_cache,
            group,
            device,
            text.mask,
        )
        if group.rank == 0:
            record: dict[str, Any] = asdict(losses)
            if unseen:
                reference = Reference(teacher, unseen.tokens, unseen.document, unseen.mask)
                model, record["validation"] = validation.best(reference, start(), model)
                print(validation.words(title, record["validation"]), flush=True)
            children.save(model, parent, child)
            files.write_json(curve, record)
            saved.remove()


if __name__ == "__main__":
    stage.run(main)
