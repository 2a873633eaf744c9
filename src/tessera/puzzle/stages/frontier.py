"""Measure the KL of the frontier's children before healing, to compare with the summed scores that predicted it."""

from pathlib import Path
from typing import Any

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams
from tessera.puzzle.search_params import SearchParams


class Params(Section):
    """The space, the length and number of windows, and the seed of the whole study."""

    space: Space
    scores: ScoresParams
    search: SearchParams
    compute: ComputeParams
    seed: int


def main(
    params: Params,
    methods: list[str],
    parent: Path,
    tokens: Path,
    frontier: Path,
    library: list[Path],
    metrics: Path,
) -> None:
    """Write the frontier with `measured` on the points of some methods: KL, next-token loss, agreement on test text.

    Windows are as long as those of the scores and as many as search.windows, from documents that neither have seen.
    """
    from tessera.puzzle import child as assembly
    from tessera.puzzle import compute
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading, memory
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.text import read

    devices = compute.start_all(params.compute)
    title = f"frontier {frontier.parent.name}"
    memory.announce(title, memory.evaluation(architectures.read(parent), params.scores.window, 1), devices, metrics)
    teacher = loading.load(parent, devices).requires_grad_(False)
    seed = randomness.seed(params.seed, "puzzle", "frontier")
    text = read(tokens, "test", params.scores.window, params.search.windows, seed)
    reference = Reference(teacher, text.tokens, text.document, text.mask)
    rows = files.read_json(frontier)
    points = [point for point in rows["points"] if point["method"] in methods and point["blocks"]]
    children: dict[tuple[str, ...], dict[str, Any]] = {tuple(point["blocks"]): {} for point in points}
    for blocks, measured in progress.track(children.items(), title):
        measured |= reference.measure(assembly.assemble(teacher, params.space, library, blocks))
        del measured["by_window"]
        measured["windows"] = len(text)
    for point in points:
        point["measured"] = children[tuple(point["blocks"])]
    files.write_json(metrics, rows)


if __name__ == "__main__":
    stage.run(main)
