"""How far the search's choice depends on the noise of its scores.

Scores are means over documents with standard errors. Each draw gives every subblock's score a normal deviate of its own
standard error and searches again. Deviates are independent, though the same documents score all variants: differences
between variants are better known than drawn here, so the results are on the cautious side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tessera.puzzle import search
from tessera.puzzle.models.space import PARENT, decompose
from tessera.puzzle.search import block_library, budgets
from tessera.puzzle.search.block_library import Scores


def drawn(scores: Scores, metric: str, generator: np.random.Generator) -> list[dict[str, Any]]:
    """The layers' scores with one metric redrawn within its standard errors; the parent's own stay as they are.

    Raises ValueError, naming the layer and variant, if the metric has no standard error, like that of one document.
    """
    redrawn = []
    for i, layer in enumerate(scores):
        parts: dict[str, Any] = {"attention": {}, "ffn": {}}
        for subblock in parts:
            for variant, metrics in sorted(layer.get(subblock, {}).items()):
                parts[subblock][variant] = dict(metrics)
                if variant == PARENT:
                    continue
                if metrics.get(f"{metric}_se") is None:
                    raise ValueError(f"layer {i}, {subblock} {variant!r}: no {metric}_se; scores need standard errors")
                parts[subblock][variant][metric] += metrics[f"{metric}_se"] * float(generator.standard_normal())
        redrawn.append(parts)
    return redrawn


@dataclass(frozen=True)
class Sensitivity:
    """The effects of resampling on the choice at one budget.

    changed: for each layer, shares of draws in which its attention, or FFN, changes. regret: by how much the
    draws' choices are worse than the optimum by the original scores, in the metric's unit. optimism: by how much the
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
    """Repeat the search with a draw of the scores by each generator, at every speed-up of the blocks; the same at each.

    Raises ValueError if block pairs were scored whole, because these have no subblocks to draw.
    """
    if any(layer.get("block") for layer in scores):
        raise ValueError("scores hold composed pairs; expected scores of subblocks")
    objective = f"metrics.{metric}"
    library = block_library.make(scores, costs)
    libraries = [block_library.make(drawn(scores, metric, generator), costs) for generator in generators]
    points = []
    for speedup in speedups:
        limit = {budgets.RUNTIME: budgets.runtime_for_speedup(library, speedup)}
        best = search.solve(library, objective, limit)
        if best.value is None:
            raise ValueError(
                f"speed-up {speedup}: no child is that fast; the smallest feasible budget is {best.smallest_feasible}"
            )
        others = [search.solve(redrawn, objective, limit) for redrawn in libraries]
        true = [block_library.total(library, other.choice, objective) for other in others]
        points.append(
            Sensitivity(
                speedup,
                best.value,
                _changed(best.choice, [other.choice for other in others], 0),
                _changed(best.choice, [other.choice for other in others], 1),
                [value - best.value for value in true],
                [value - float(other.value or 0.0) for value, other in zip(true, others, strict=True)],
            )
        )
    return points


def _changed(choice: Mapping[str, str], others: Sequence[Mapping[str, str]], part: int) -> list[float]:
    """For each layer, the share of other choices whose attention (part 0) or FFN (1) differs."""
    return [
        float(np.mean([decompose(other[layer])[part] != decompose(block)[part] for other in others]))
        for layer, block in choice.items()
    ]
