"""Score the surviving pairs of every jobs-th layer as whole blocks, of decoupled and of coupled subblocks."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams
from tessera.puzzle.studies.coupled.params import CoupledParams


class Params(Section):
    """The study, the space, the scores' text, and the seed of the whole."""

    coupled: CoupledParams
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
    coupled_library: list[Path],
    survivors: Path,
    scores: Path,
) -> None:
    """Write layer -> block -> metrics of the layers of job number `part`, on the text of the first search's scores."""
    from tessera.puzzle import child, compute
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.reference import Pair, composed
    from tessera.puzzle.studies.coupled import pairs as coupled
    from tessera.puzzle.text import read

    pairs = {int(layer): names for layer, names in files.read_json(survivors)["pairs"].items()}
    device = compute.start(params.compute)
    model = loading.load(parent, device).requires_grad_(False)
    variants: dict[int, dict[str, Pair]] = {}
    for layer in sorted(pairs)[part :: params.coupled.jobs]:
        variants[layer] = {}
        for pair in pairs[layer]:
            where = (model, params.space)
            variants[layer][pair] = child.subblocks(*where, library, layer, pair)
            variants[layer][pair + coupled.MARK] = coupled.subblocks(*where, coupled_library, layer, pair)
    seed = randomness.seed(params.seed, "puzzle", "scores")
    text = read(tokens, "valid", params.scores.window, params.scores.windows, seed)
    measured = composed(
        model,
        variants,
        text.tokens,
        text.document,
        lambda layers: progress.track(layers, f"scores of whole blocks, part {part}"),
        text.mask,
    )
    files.write_json(scores, measured)


if __name__ == "__main__":
    stage.run(main)
