"""Score the variants of every jobs-th layer by replacing one subblock of the parent at a time."""

from collections.abc import Mapping
from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams


class Params(Section):
    """The space, the scores' text, and the seed of the whole study."""

    space: Space
    scores: ScoresParams
    compute: ComputeParams
    seed: int


def main(
    params: Params,
    part: int,
    parent: Path,
    tokens: Path,
    library: list[Path],
    scores: Path,
    cache: Path | None = None,
) -> None:
    """Write layer -> subblock -> variant -> metrics for the layers of job number `part`.

    cache is a directory of scores that were computed before and are reused.
    """
    from functools import partial

    from tessera.puzzle import compute
    from tessera.puzzle.child import variants_of
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores import cache as score_cache
    from tessera.puzzle.scores import replace_one as scoring
    from tessera.puzzle.scores.cache import ScoreCache, Scores
    from tessera.puzzle.scores.replace_one import Variants
    from tessera.puzzle.text import read

    device = compute.start(params.compute)
    model, settings = loading.load(parent, device).requires_grad_(False), params.scores
    layers = range(len(model.layers))[part :: settings.jobs]
    variants = variants_of(model, params.space, library, layers)
    seed = randomness.seed(params.seed, "puzzle", "scores")
    text = read(tokens, "valid", settings.window, settings.windows, seed)

    def computed(some: "Mapping[int, Variants]") -> "dict[int, Scores]":
        title = f"scores, part {part}"
        track = partial(progress.track, description=title)
        return scoring.score(model, some, text.tokens, text.document, track, text.mask)

    about = score_cache.text(text.tokens, text.document, text.mask)
    kept = ScoreCache(cache, model, about, scoring.__name__) if cache else None
    files.write_json(scores, kept.score(variants, computed) if kept else computed(variants))


if __name__ == "__main__":
    stage.run(main)
