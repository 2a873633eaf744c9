"""One program for structure and bits: each layer's attention and FFN in a variant and a type, the rest in a type.

The block library has VARIANT@TYPE for each subblock, and what is outside the layers, embedding and output map, is one
more layer of it. Scores are of one subblock that is exchanged and rounded, so that a sum of them counts both. The
cosine of `quadratic` counts how exchanged attentions reinforce one another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tessera.puzzle.costs.lookup import NON_BLOCK
from tessera.puzzle.models.space import PARENT, compose, decompose
from tessera.puzzle.search import block_library, quadratic
from tessera.puzzle.search.block_library import STATS, Library
from tessera.puzzle.search.solver import Limits, Solution
from tessera.puzzle.serve.gguf_types import Dtype
from tessera.puzzle.studies.bits import typed

OBJECTIVE = "metrics.kl_div"
RUNTIME, SIZE = "stats.runtime_ms", "stats.parameters_mib"
#: The variant of what is outside the layers.
OUTSIDE = "outside"


def library(
    scores: Sequence[Mapping[str, Any]],
    outside: Mapping[Dtype, Mapping[str, float]],
    tables: Mapping[Dtype, pd.DataFrame],
) -> tuple[Library, str]:
    """The library of typed variants, and the key of the roots that quadratic needs.

    scores are those of every layer, by typed names, outside those of embedding and output map by type, and tables the
    costs of all variants in each type. Variants that the tables have no time of are left out.
    """
    costs = []
    for n, (dtype, table) in enumerate(tables.items()):
        inside = table[table.subblock != NON_BLOCK]
        named = [
            variant if parameters == 0 else typed.name(variant, dtype)
            for variant, parameters in zip(inside.variant, inside.parameters, strict=True)
        ]
        kept = inside.assign(variant=named)
        costs.append(kept if n == 0 else kept[kept.parameters > 0])
        if n == 0:  # what the scores are relative to: the parent as it is, which is not among the choices
            costs.append(inside[inside.variant == PARENT])
    whole = block_library.make(scores, pd.concat(costs, ignore_index=True))
    rooted, root = quadratic.with_roots(whole, OBJECTIVE)
    choices: dict[str, Any] = {
        layer: {block: entry for block, entry in blocks.items() if PARENT not in decompose(block)}
        for layer, blocks in rooted.items()
    }
    choices[f"layer_{len(choices)}"] = {
        typed.name(OUTSIDE, dtype): {
            "stats": {key: float(_outside(table)[key]) for key in STATS},
            "metrics": {**outside[dtype], root.partition(".")[2]: 0.0},
        }
        for dtype, table in tables.items()
    }
    return choices, root


def _outside(table: pd.DataFrame) -> Mapping[str, Any]:
    (row,) = table[table.subblock == NON_BLOCK].to_dict("records")
    return row


def restricted(whole: Library, types: Sequence[Dtype], structure: bool) -> Library:
    """The part of a library of some types; without structure, of the parent's subblocks alone."""

    def allowed(block: str) -> bool:
        parts = [typed.split(part) for part in (decompose(block) if "+" in block else (block,))]
        return all(dtype is None or dtype in types for _, dtype in parts) and (
            structure or all(variant in (PARENT, OUTSIDE) for variant, _ in parts)
        )

    return {layer: {b: entry for b, entry in blocks.items() if allowed(b)} for layer, blocks in whole.items()}


def parent(whole: Library, dtype: Dtype) -> dict[str, str]:
    """The choice that is the parent in one type."""
    block = compose(*[typed.name(PARENT, dtype)] * 2)
    *layers, last = block_library.layers(whole)
    return dict.fromkeys(layers, block) | {last: typed.name(OUTSIDE, dtype)}


def solve(whole: Library, root: str, cosine: float, types: Sequence[Dtype], limits: Limits) -> dict[str, Solution]:
    """The child of every method within limits: both at once; structure in the best single type; bits alone."""

    def best(part: Library) -> Solution:
        return quadratic.solve(part, OBJECTIVE, root, cosine, limits)

    each = [best(restricted(whole, [dtype], True)) for dtype in types]
    found = [solution for solution in each if solution.value is not None]
    return {
        "joint": best(whole),
        "structure": min(found, key=lambda solution: solution.value or 0.0, default=each[0]),
        "bits": best(restricted(whole, types, False)),
    }
