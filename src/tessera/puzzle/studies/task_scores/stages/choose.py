"""Choose a child by each score: KL, and the two of task items."""

from pathlib import Path

from tessera.common import files, stage
from tessera.puzzle.studies.task_scores.params import TaskScoresParams


def main(params: TaskScoresParams, scores: list[Path], task_scores: list[Path], costs: Path, children: Path) -> None:
    """Write, by score, the program's optimum as the search writes its children, with its sums of all scores."""
    from tessera.puzzle.studies.task_scores.search import optima

    by_text, by_items = (
        {int(layer): parts for path in paths for layer, parts in files.read_json(path).items()}
        for paths in (scores, task_scores)
    )
    if by_text.keys() != by_items.keys():
        raise ValueError(
            f"{', '.join(map(str, task_scores))}: other layers than {', '.join(map(str, scores))}; run both again"
        )
    optimum = optima(by_text, by_items, files.read_parquet(costs), params.speedup)
    files.write_json(children, {"target": costs.stem, "speedup": params.speedup, "children": optimum})


if __name__ == "__main__":
    stage.run(main)
