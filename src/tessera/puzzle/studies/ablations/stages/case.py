"""Choose one case's child and, for every seed's text and order, heal it and measure it on test text."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import HealParams, LibraryParams, ScoresParams
from tessera.puzzle.studies.ablations.params import CaseParams, ChildParams, TextParams


class Params(Section):
    """The case, what all cases share, and what they share with the main chain."""

    case: CaseParams
    seeds: int
    text: TextParams
    child: ChildParams
    space: Space
    library: LibraryParams
    scores: ScoresParams
    heal: HealParams
    seed: int


def main(
    params: Params,
    case: str,
    parent: Path,
    tokens: Path,
    library: list[Path],
    scores: list[Path],
    costs: Path,
    metrics: Path,
    responses: Path | None = None,
    teacher_cache: Path | None = None,
) -> None:
    """Write, for each seed, the child's choice, predicted KL, healing curve, and metrics as assembled and healed.

    `case` is its name. responses, which the score `cosine` needs, are scores with the cosine of last hidden states.
    teacher_cache is where the parent's hidden states are kept under heal.teacher = cache.
    """
    from dataclasses import asdict
    from functools import partial

    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle.child import assemble
    from tessera.puzzle.heal.train import heal
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import blocks
    from tessera.puzzle.models.model import LanguageModel
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.studies.ablations import cases

    one, shared, text = params.case, params.child, params.text
    found = {int(layer): parts for path in scores for layer, parts in files.read_json(path).items()}
    if one.score == "cosine":
        if responses is None:
            raise ValueError(f"case {case!r} is scored by cosine: --responses must name the scores that have it")
        found = cases.with_cosine(found, {int(k): v for k, v in files.read_json(responses).items()})
    table, teacher = files.read_parquet(costs), blocks.load(parent).requires_grad_(False)
    draw = randomness.seed(params.seed, "puzzle", "frontier")
    references = {}
    for place, split, count in (("in_domain", "test", shared.windows), ("out_of_domain", "ood", shared.out_of_domain)):
        held_out = windows(tokens, split, params.scores.window + 1, count, draw)
        references[place] = Reference(teacher, torch.from_numpy(held_out.tokens).long(), held_out.document)

    def measure(child: LanguageModel) -> dict:
        return {place: reference.measure(child) for place, reference in references.items()}

    def training(split: str, length: int, count: int, replicate: int) -> torch.Tensor:
        seed = randomness.seed(params.seed, "puzzle_ablations", "text", replicate)
        sources = one.sources if split == "train" else None
        return torch.from_numpy(windows(tokens, split, length, count, seed, sources).tokens).long()

    rows, assembled = [], {}
    for replicate in range(params.seeds):
        generator = randomness.generator(params.seed, "puzzle_ablations", case, replicate)
        choice = cases.choose(found, table, one, shared.speedup, generator)
        chosen = list(choice.choice.values())
        train = training("train", text.window + 1, text.tokens // text.window, replicate)
        with files.scratch_directory(metrics) as scratch:
            directories = library
            if one.blocks is not None:
                directories = [scratch]
                made = cases.blocks_of(
                    teacher,
                    architectures.read(parent),
                    params.space,
                    cases.starting(params.library, one.blocks.initialisation, one.blocks.tokens),
                    chosen,
                    train[:, :-1],
                    training("valid", text.window, params.library.valid_windows, replicate),
                    partial(randomness.torch_generator, params.seed, "puzzle_ablations", "blocks", replicate),
                    scratch,
                    partial(progress.track, description=f"blocks of {case}, replicate {replicate}"),
                )
                for layer, tensors in made:
                    files.save_tensors(scratch / f"layer_{layer}.safetensors", tensors)
            child = assemble(teacher, parent, params.space, directories, chosen)
        same = (tuple(chosen), replicate if one.blocks else None)  # of the library's blocks, the same for every seed
        if same not in assembled:
            assembled[same] = measure(child)
        curve = heal(
            teacher,
            child,
            train,
            params.heal.model_copy(update={"cosine": one.cosine, "kl": one.kl, "lm": one.lm}),
            shared.healing,
            randomness.torch_generator(params.seed, "puzzle_ablations", "order", replicate),
            track=partial(progress.track, description=f"healing {case}, replicate {replicate}"),
            teacher_cache=teacher_cache,
        )
        rows.append(
            {"case": case, "replicate": replicate, "blocks": chosen, "objective": choice.value, "costs": choice.costs}
            | {"assembled": assembled[same], "healed": measure(child), "curve": asdict(curve)}
        )
    files.write_json(metrics, rows)


if __name__ == "__main__":
    stage.run(main)
