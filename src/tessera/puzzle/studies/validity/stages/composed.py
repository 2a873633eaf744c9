"""Score pairs of subblocks of one layer exchanged at once, to compare with the sum of their two scores."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.params import ComputeParams, ScoresParams
from tessera.puzzle.studies.validity.params import ValidityParams

#: The search's own groups of children, in the order in which their pairs are taken.
GROUPS = ("mip", "diverse")


class Params(Section):
    """The study, the space, the scores' text, and the seed of the whole."""

    validity: ValidityParams
    space: Space
    scores: ScoresParams
    compute: ComputeParams
    seed: int


def main(params: Params, parent: Path, tokens: Path, library: list[Path], children: Path, metrics: Path) -> None:
    """Write layer -> block -> metrics of the first pairs that the search's children have, up to validity.composed."""
    from tessera.puzzle import compute
    from tessera.puzzle.child import subblocks
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.reference import Pair, composed
    from tessera.puzzle.text import read

    rows = files.read_json(children)
    exchanged = dict.fromkeys(
        (layer, block)
        for group in GROUPS
        for row in rows[group]
        for layer, block in enumerate(row["blocks"])
        if PARENT not in decompose(block)
    )
    device = compute.start(params.compute)
    model = loading.load(parent, device).requires_grad_(False)
    pairs: dict[int, dict[str, Pair]] = {}
    for layer, block in sorted(list(exchanged)[: params.validity.composed]):
        pairs.setdefault(layer, {})[block] = subblocks(model, params.space, library, layer, block)
    seed = randomness.seed(params.seed, "puzzle", "scores")
    text = read(tokens, "valid", params.scores.window, params.scores.windows, seed)
    scores = composed(
        model,
        pairs,
        text.tokens,
        text.document,
        lambda layers: progress.track(layers, "composed scores"),
        text.mask,
    )
    files.write_json(metrics, scores)


if __name__ == "__main__":
    stage.run(main)
