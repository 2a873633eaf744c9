"""Measure the KL of the frontier's children before healing, to compare with the summed scores that predicted it."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams


class Params(Section):
    """The space, the text of the scores, and the seed of the whole study."""

    space: Space
    scores: ScoresParams
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

    The windows are as many and as long as those of the scores, from documents that the scores have not seen.
    """
    import numpy as np

    from tessera.puzzle import child as assembly
    from tessera.puzzle import compute
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading, memory
    from tessera.puzzle.scores.evaluate import evaluate
    from tessera.puzzle.text import read

    devices = compute.start_all(params.compute)
    title = f"frontier {frontier.parent.name}"
    memory.announce(title, memory.evaluation(architectures.read(parent), params.scores.window, 1), devices, metrics)
    teacher = loading.load(parent, devices).requires_grad_(False)
    seed = randomness.seed(params.seed, "puzzle", "frontier")
    text = read(tokens, "test", params.scores.window, params.scores.windows, seed)
    rows = files.read_json(frontier)
    points = [point for point in rows["points"] if point["method"] in methods and point["blocks"]]
    for point in progress.track(points, title):
        model = assembly.assemble(teacher, params.space, library, point["blocks"])
        domains = np.full(len(text), "test")
        evaluated = evaluate(teacher, {"child": model}, text.tokens, domains, text.document, {}, mask=text.mask)
        point["measured"] = evaluated["child"]["test"]
    files.write_json(metrics, rows)


if __name__ == "__main__":
    stage.run(main)
