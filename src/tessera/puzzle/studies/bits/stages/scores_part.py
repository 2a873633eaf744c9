"""Score the variants of every jobs-th layer in every type by replacing one subblock of the parent at a time."""

import copy
from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams
from tessera.puzzle.studies.bits.params import BitsParams


class Params(Section):
    """The study, the space, the scores' text, and the seed of the whole."""

    bits: BitsParams
    space: Space
    scores: ScoresParams
    compute: ComputeParams
    seed: int


def main(params: Params, part: int, parent: Path, tokens: Path, library: list[Path], scores: Path) -> None:
    """Write layer -> subblock -> VARIANT@TYPE -> metrics; the first part has those of embedding and output map as well.

    Variants that llama.cpp has no form for are left out.
    """
    from tessera.puzzle import compute
    from tessera.puzzle.child import variants_of
    from tessera.puzzle.costs import stacks
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading
    from tessera.puzzle.models.space import FFN, PARENT, Attention
    from tessera.puzzle.scores import replace_one
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.scores.replace_one import OnDemand, Variants
    from tessera.puzzle.studies.bits import typed
    from tessera.puzzle.text import read

    settings = params.bits
    model = loading.load(parent, compute.start(params.compute)).requires_grad_(False)
    architecture = architectures.read(parent)
    own_attention, own_ffn = Attention(kind="gqa"), FFN(kind="gated")
    known = {
        "attention": [n for n, a in params.space.attention.items() if not stacks.refusal(architecture, a, own_ffn)],
        "ffn": [n for n, f in params.space.ffn.items() if not stacks.refusal(architecture, own_attention, f)],
    }

    def variants(layer: int) -> Variants:
        exact = variants_of(model, params.space, library, [layer])[layer]
        return {
            place: typed.in_types(
                {PARENT: model.layers[layer].subblock(place)} | {name: modules[name] for name in known[place]},
                settings.types,
            )
            for place, modules in exact.items()
        }

    layers = range(len(model.layers))[part :: settings.jobs]
    text = read(
        tokens, "valid", params.scores.window, settings.windows, randomness.seed(params.seed, "puzzle", "scores")
    )
    found = replace_one.score(
        model,
        OnDemand(layers, variants),
        text.tokens,
        text.document,
        lambda work: progress.track(work, f"scores in types, part {part}"),
        text.mask,
        layers_at_once=1,
    )
    result: dict = {"layers": found}
    if part == 0:
        reference = Reference(model, text.tokens, text.document, text.mask)
        result["outside"] = {}
        for dtype in settings.types:
            measured = reference.measure(typed.round_outside(copy.deepcopy(model), dtype))
            result["outside"][dtype] = {key: value for key, value in measured.items() if key != "by_window"}
    files.write_json(scores, result)


if __name__ == "__main__":
    stage.run(main)
