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

    from tessera.puzzle import compute
    from tessera.puzzle.child import variants_of
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading, memory
    from tessera.puzzle.models.streaming import Streamed
    from tessera.puzzle.scores import cache as score_cache
    from tessera.puzzle.scores import replace_one as scoring
    from tessera.puzzle.scores import schedule
    from tessera.puzzle.scores.cache import ScoreCache, Scores
    from tessera.puzzle.scores.replace_one import OnDemand, Variants
    from tessera.puzzle.text import read

    device, settings = compute.start(params.compute), params.scores
    architecture = architectures.read(parent)
    every = architecture.num_layers
    layers = range(every)[part :: settings.jobs]
    seed = randomness.seed(params.seed, "puzzle", "scores")
    text = read(tokens, "valid", settings.window, settings.windows, seed)
    chosen = schedule.plan(
        memory.scores(architecture, params.space, settings.window),
        len(params.space.attention) + len(params.space.ffn),
        every,
        len(layers),
        len(scoring.batches(text.tokens)),
        compute.memory(params.compute, device),
    )
    title, fits = f"scores, part {part}", chosen.resident == every
    memory.announce(title, memory.Memory(chosen.memory, tuple(chosen.memory)), device, scores)
    if not fits:
        print(f"{title}: {chosen.resident} of {every} layers stay; {chosen.passes} passes read {chosen.loads} layers")
    model = loading.load(parent, device) if fits else Streamed(parent, device, chosen.resident)
    variants: Mapping[int, Variants] = OnDemand(
        layers, lambda layer: variants_of(model, params.space, library, [layer])[layer]
    )
    if chosen.keeps_variants:
        variants = dict(variants)

    def computed(some: "Mapping[int, Variants]") -> "dict[int, Scores]":
        return scoring.score(
            model,
            some,
            text.tokens,
            text.document,
            lambda work: progress.track(work, title),
            text.mask,
            batches_at_once=chosen.batches,
            layers_at_once=chosen.layers,
        )

    about = score_cache.text(text.tokens, text.document, text.mask)
    kept = ScoreCache(cache, model, about, scoring.__name__) if cache else None
    files.write_json(scores, kept.score(variants, computed) if kept else computed(variants))


if __name__ == "__main__":
    stage.run(main)
