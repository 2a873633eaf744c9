"""The children that the program chooses by each score: KL, and the two of task items."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tessera.common.files import Json
from tessera.puzzle import search
from tessera.puzzle.search import block_library, budgets
from tessera.puzzle.studies.task_scores.score import OBJECTIVES

#: All scores by which a child is chosen.
SCORES = ("kl_div", *OBJECTIVES)
#: layer -> subblock -> variant -> metrics.
Scores = Mapping[int, Mapping[str, Mapping[str, Mapping[str, Any]]]]


def optima(by_text: Scores, by_items: Scores, costs: pd.DataFrame, speedup: float) -> Json:
    """Return the program's optimum by score, as the search writes its children, with its sums of all scores.

    by_text are scores by KL, by_items those of task items, both of the same layers. Raises ValueError if no child is
    that fast.
    """
    both = [
        {
            part: {name: {**metrics, **by_items[layer][part][name]} for name, metrics in named.items()}
            for part, named in by_text[layer].items()
        }
        for layer in sorted(by_text)
    ]
    library = block_library.make(both, costs)
    limits = {budgets.RUNTIME: budgets.runtime_for_speedup(library, speedup)}
    children = {}
    for score in SCORES:
        best = search.solve(library, f"metrics.{score}", limits)
        if not best.choice:
            raise ValueError(f"task_scores.speedup = {speedup:g}: no child of the library is that fast")
        sums = {other: block_library.total(library, best.choice, f"metrics.{other}") for other in SCORES}
        # JSON files have their keys sorted, layer_10 before layer_2; `blocks` is in the order of the layers.
        children[score] = best.as_dict() | {"blocks": list(best.choice.values()), "sums": sums}
    return children
