"""Score the variants of every jobs-th layer by task accuracy, one subblock of the parent exchanged at a time."""

from collections.abc import Mapping
from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.data.params import TokensParams
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams
from tessera.puzzle.studies.task_scores.params import TaskScoresParams


class Params(Section):
    """The scores' items, when a set of the study of tasks counts, the space, and the token before a prompt."""

    task_scores: TaskScoresParams
    margin: float
    space: Space
    tokens: TokensParams
    compute: ComputeParams


def main(
    params: Params,
    part: int,
    parent: Path,
    library: list[Path],
    table: Path,
    answers: Path,
    scores: Path,
    cache: Path | None = None,
) -> None:
    """Write layer -> subblock -> variant -> metrics for the layers of job number `part`.

    table holds the items; answers are the parent's own, which decide which sets count and how the likeliest choice is
    determined. cache is a directory of scores computed before, from which those that are needed again are taken.
    """
    from tessera.puzzle import compute
    from tessera.puzzle.child import variants_of
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.cache import ScoreCache, Scores
    from tessera.puzzle.scores.replace_one import Variants
    from tessera.puzzle.scores.retention import right_answers, selections
    from tessera.puzzle.scores.task_items import tokenised
    from tessera.puzzle.studies.task_scores import score

    items = files.read_parquet(table).set_index(["set", "index"])
    selection = selections(items, right_answers(items, files.read_parquet(answers)), params.margin)
    asked = score.chosen(items, selection, params.task_scores.items)
    questions = [
        score.Question(tokens, tuple(len(choice.encode()) for choice in item.choices), item.answer, item.metric)
        for tokens, item in zip(tokenised(asked, parent, params.tokens.separator), asked.itertuples(), strict=True)
    ]
    device = compute.start(params.compute)
    model = loading.load(parent, device).requires_grad_(False)
    layers = range(len(model.layers))[part :: params.task_scores.jobs]
    variants = variants_of(model, params.space, library, layers)

    def computed(some: "Mapping[int, Variants]") -> "dict[int, Scores]":
        title = f"task scores, part {part}"
        return score.score(model, some, questions, lambda work: progress.track(work, title))

    kept = ScoreCache(cache, model, score.about(questions), score.__name__) if cache else None
    files.write_json(scores, kept.score(variants, computed) if kept else computed(variants))


if __name__ == "__main__":
    stage.run(main)
