"""Score the variants of every jobs-th layer by replacing one subblock of the parent at a time."""

from collections.abc import Mapping
from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.params import ScoresParams
from tessera.puzzle.space import Space


class Params(Section):
    """The space, the scores' text, and the seed of the whole study."""

    space: Space
    scores: ScoresParams
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

    cache is a directory of scores that were computed before, of which those that are needed again are taken.
    """
    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import architecture as architectures
    from tessera.puzzle import blocks
    from tessera.puzzle.child import layer_file, subblock
    from tessera.puzzle.score import Variants, score
    from tessera.puzzle.score_cache import ScoreCache, Scores

    architecture = architectures.read(parent)
    model = blocks.load(parent).requires_grad_(False)
    attentions = {n: blocks.attention_spec(architecture, v) for n, v in params.space.attention.items()}
    ffns = {n: blocks.ffn_spec(architecture, v) for n, v in params.space.ffn.items()}
    settings = params.scores
    variants: dict[int, Variants] = {}
    for layer in range(architecture.num_layers)[part :: settings.jobs]:
        path = layer_file(library, layer)
        variants[layer] = {
            "attention": {n: subblock(model.spec, s, f"attention.{n}", path) for n, s in attentions.items()},
            "ffn": {n: subblock(model.spec, s, f"ffn.{n}", path) for n, s in ffns.items()},
        }
    seed = randomness.seed(params.seed, "puzzle", "scores")
    text = windows(tokens, "valid", settings.window + 1, settings.windows, seed)
    seen = torch.from_numpy(text.tokens).long()

    def compute(some: "Mapping[int, Variants]") -> "dict[int, Scores]":
        return score(model, some, seen, text.document, lambda work: progress.track(work, f"scores, part {part}"))

    kept = ScoreCache(cache, model, seen, text.document) if cache else None
    files.write_json(scores, kept.score(variants, compute) if kept else compute(variants))


if __name__ == "__main__":
    stage.run(main)
