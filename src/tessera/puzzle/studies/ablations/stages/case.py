"""Choose one case's child and, for every seed's text and order, heal it and measure it on test text."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, HealParams, LibraryParams, ScoresParams
from tessera.puzzle.studies.ablations.params import CaseParams, ChildParams, TextParams

if TYPE_CHECKING:
    from tessera.puzzle.text import Text


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
    compute: ComputeParams
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
    teacher_cache is where the parent's hidden states are kept if heal.teacher = cache.
    """
    from functools import partial

    from tessera.puzzle import compute
    from tessera.puzzle.heal.train import heal
    from tessera.puzzle.models import loading
    from tessera.puzzle.models.decoder import LanguageModel
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.studies.ablations import cases
    from tessera.puzzle.text import Text, read

    settings, shared, text = params.case, params.child, params.text
    by_layer = {int(layer): parts for path in scores for layer, parts in files.read_json(path).items()}
    if settings.score == "cosine":
        if responses is None:
            raise ValueError(f"case {case!r} is scored by cosine: --responses must name the scores that have it")
        by_layer = cases.with_cosine(by_layer, {int(k): v for k, v in files.read_json(responses).items()})
    device = compute.start(params.compute)
    table, teacher = files.read_parquet(costs), loading.load(parent, device).requires_grad_(False)
    draw = randomness.seed(params.seed, "puzzle", "frontier")
    references = {}
    for place, split, count in (("in_domain", "test", shared.windows), ("out_of_domain", "ood", shared.out_of_domain)):
        held_out = read(tokens, split, params.scores.window, count, draw)
        references[place] = Reference(teacher, held_out.tokens, held_out.document, held_out.mask)

    def measure(child: LanguageModel) -> dict:
        return {place: reference.measure(child) for place, reference in references.items()}

    def training(split: str, count: int, replicate: int, target: bool) -> Text:
        seed = randomness.seed(params.seed, "puzzle_ablations", "text", replicate)
        sources = settings.sources if split == "train" else None
        return read(tokens, split, text.window, count, seed, sources, target)

    rows, assembled = [], {}
    for replicate in range(params.seeds):
        generator = randomness.generator(params.seed, "puzzle_ablations", case, replicate)
        solution = cases.choose(by_layer, table, settings, shared.speedup, generator)
        choice = list(solution.choice.values())
        train = training("train", text.tokens // text.window, replicate, target=True)
        valid = partial(training, "valid", params.library.valid_windows, replicate, target=False)
        with files.scratch_directory(metrics) as scratch:
            child = cases.child_of(
                teacher,
                params.space,
                library,
                params.library,
                choice,
                settings.blocks,
                partial(_texts, train, valid),
                partial(randomness.torch_generator, params.seed, "puzzle_ablations", "blocks", replicate),
                scratch,
                partial(progress.track, description=f"blocks of {case}, replicate {replicate}"),
            )
        same = (tuple(choice), replicate if settings.blocks else None)  # the library's blocks are those of every seed
        if same not in assembled:
            assembled[same] = measure(child)
        curve = heal(
            teacher,
            child,
            train.tokens,
            params.heal.model_copy(update={"cosine": settings.cosine, "kl": settings.kl, "lm": settings.lm}),
            shared.healing,
            randomness.torch_generator(params.seed, "puzzle_ablations", "order", replicate),
            track=partial(progress.track, description=f"healing {case}, replicate {replicate}"),
            teacher_cache=teacher_cache,
            mask=train.mask,
        )
        rows.append(
            {"case": case, "replicate": replicate, "blocks": choice}
            | {"objective": solution.value, "costs": solution.costs}
            | {"assembled": assembled[same], "healed": measure(child), "curve": asdict(curve)}
        )
    files.write_json(metrics, rows)


def _texts(train: "Text", valid: "Callable[[], Text]") -> "tuple[Text, Text]":
    """Windows to train on, without the token after each, and held-out ones, which are read only if blocks are made."""
    return replace(train, tokens=train.tokens[:, :-1]), valid()


if __name__ == "__main__":
    stage.run(main)
