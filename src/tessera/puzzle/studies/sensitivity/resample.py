"""How far the search's answer rests on the noise of its scores.

Scores are means over documents with standard errors. Each draw gives every subblock's score a normal deviate of its own
standard error and searches again. Deviates are independent, though the same documents score all variants: differences
between variants are better known than drawn here, so what is found is on the cautious side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tessera.puzzle import search
from tessera.puzzle.models.space import PARENT, decompose
from tessera.puzzle.search import block_library, budgets

Scores = Sequence[Mapping[str, Any]]


def drawn(scores: Scores, metric: str, generator: np.random.Generator) -> list[dict[str, Any]]:
    """The layers' scores with one metric redrawn within its standard errors; the parent's own stay as they are.

    Raises ValueError, naming the layer and variant, where the metric has no standard error, as that of one document.
    """
    made = []
    for i, layer in enumerate(scores):
        one: dict[str, Any] = {"attention": {}, "ffn": {}}
        for subblock in one:
            for variant, metrics in sorted(layer.get(subblock, {}).items()):
                one[subblock][variant] = dict(metrics)
                if variant == PARENT:
                    continue
                if metrics.get(f"{metric}_se") is None:
                    raise ValueError(f"layer {i}, {subblock} {variant!r}: no {metric}_se; scores need standard errors")
                one[subblock][variant][metric] += metrics[f"{metric}_se"] * float(generator.standard_normal())
        made.append(one)
    return made


@dataclass(frozen=True)
class Sensitivity:
    """What resampling does to the choice at one budget.

    changed: for each layer, shares of draws in which its attention, or FFN, is another one. regret: by how much the
    draws' choices are worse than the optimum by the scores as they are, in the metric's unit. optimism: by how much the
    draws' optima promise too little of their own choices, by the same scores. value: of the optimum itself.
    """

    speedup: float
    value: float
    changed_attention: list[float]
    changed_ffn: list[float]
    regret: list[float]
    optimism: list[float]


def sensitivity(
    scores: Scores,
    costs: pd.DataFrame,
    metric: str,
    speedups: Sequence[float],
    generators: Sequence[np.random.Generator],
) -> list[Sensitivity]:
    """Search anew with a draw of the scores by each generator, at every speed-up of the blocks; the same draws at each.

    Raises ValueError where block pairs were scored whole: these have no subblocks to draw.
    """
    if any(layer.get("block") for layer in scores):
        raise ValueError("scores hold composed pairs; sensitivity is of subblock scores")
    objective = f"metrics.{metric}"
    library = block_library.make(scores, costs)
    libraries = [block_library.make(drawn(scores, metric, one), costs) for one in generators]
    found = []
    for speedup in speedups:
        limit = {budgets.RUNTIME: budgets.runtime_for_speedup(library, speedup)}
        best = search.solve(library, objective, limit)
        if best.value is None:
            raise ValueError(f"speed-up {speedup}: no child; feasible would be {best.smallest_feasible}")
        others = [search.solve(one, objective, limit) for one in libraries]
        true = [block_library.total(library, other.choice, objective) for other in others]
        found.append(
            Sensitivity(
                speedup,
                best.value,
                _changed(best.choice, [other.choice for other in others], 0),
                _changed(best.choice, [other.choice for other in others], 1),
                [value - best.value for value in true],
                [value - float(other.value or 0.0) for value, other in zip(true, others, strict=True)],
            )
        )
    return found


def _changed(choice: Mapping[str, str], others: Sequence[Mapping[str, str]], part: int) -> list[float]:
    """For each layer, the share of other choices whose attention (part 0) or FFN (1) is another."""
    return [
        float(np.mean([decompose(other[layer])[part] != decompose(block)[part] for other in others]))
        for layer, block in choice.items()
    ]
