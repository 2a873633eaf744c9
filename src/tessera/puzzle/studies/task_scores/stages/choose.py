"""Choose a child by each score: KL, and the two of task items."""

from pathlib import Path

from tessera.common import files, stage
from tessera.puzzle import search
from tessera.puzzle.search import block_library, budgets
from tessera.puzzle.studies.task_scores.params import TaskScoresParams
from tessera.puzzle.studies.task_scores.score import OBJECTIVES


def main(params: TaskScoresParams, scores: list[Path], task_scores: list[Path], costs: Path, children: Path) -> None:
    """Write, by score, the program's optimum as the search writes its children, with its sums of all scores."""
    by_text, by_items = (
        {int(layer): parts for path in paths for layer, parts in files.read_json(path).items()}
        for paths in (scores, task_scores)
    )
    if by_text.keys() != by_items.keys():
        raise ValueError(
            f"{', '.join(map(str, task_scores))}: other layers than {', '.join(map(str, scores))}; run both again"
        )
    both = [
        {
            part: {name: one | by_items[layer][part][name] for name, one in named.items()}
            for part, named in by_text[layer].items()
        }
        for layer in sorted(by_text)
    ]
    library = block_library.make(both, files.read_parquet(costs))
    limits = {budgets.RUNTIME: budgets.runtime_for_speedup(library, params.speedup)}
    found = {}
    for score in ("kl_div", *OBJECTIVES):
        best = search.solve(library, f"metrics.{score}", limits)
        if not best.choice:
            raise ValueError(f"task_scores.speedup = {params.speedup:g}: no child of the library is so fast")
        sums = {one: block_library.total(library, best.choice, f"metrics.{one}") for one in ("kl_div", *OBJECTIVES)}
        # JSON files have their keys sorted, layer_10 before layer_2; `blocks` is in the order of the layers.
        found[score] = best.as_dict() | {"blocks": list(best.choice.values()), "sums": sums}
    files.write_json(children, {"target": params.target, "speedup": params.speedup, "children": found})


if __name__ == "__main__":
    stage.run(main)
