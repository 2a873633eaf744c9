"""Score the variants of every jobs-th layer by replacing one subblock of the parent at a time."""

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


def main(params: Params, part: int, parent: Path, tokens: Path, library: list[Path], scores: Path) -> None:
    """Write layer -> subblock -> variant -> metrics for the layers of job number `part`."""
    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import architecture as architectures
    from tessera.puzzle import blocks
    from tessera.puzzle.child import layer_file, subblock
    from tessera.puzzle.score import score

    architecture = architectures.read(parent)
    model = blocks.load(parent).requires_grad_(False)
    attentions = {n: blocks.attention_spec(architecture, v) for n, v in params.space.attention.items()}
    ffns = {n: blocks.ffn_spec(architecture, v) for n, v in params.space.ffn.items()}
    settings = params.scores
    variants = {}
    for layer in range(architecture.num_layers)[part :: settings.jobs]:
        path = layer_file(library, layer)
        variants[layer] = {
            "attention": {n: subblock(model.spec, s, f"attention.{n}", path) for n, s in attentions.items()},
            "ffn": {n: subblock(model.spec, s, f"ffn.{n}", path) for n, s in ffns.items()},
        }
    seed = randomness.seed(params.seed, "puzzle", "scores")
    text = windows(tokens, "valid", settings.window + 1, settings.windows, seed)
    found = score(
        model,
        variants,
        torch.from_numpy(text.tokens).long(),
        text.document,
        lambda work: progress.track(work, f"scores, part {part}"),
    )
    files.write_json(scores, found)


if __name__ == "__main__":
    stage.run(main)
