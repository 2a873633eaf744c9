"""Children over a wide range of budgets, to hold predictions against: the search's, baselines', and random ones.

A child is a row {"name", "group", "target", "method", "speedup", "blocks"}: target and speedup are null for children
that were not chosen within a budget.
"""

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from pydantic import Field

from tessera.common.params import Section
from tessera.puzzle.search import baselines, block_library, budgets, solver
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.search_params import Method

Row = dict[str, Any]


class DiverseParams(Section):
    """Children that are each the best of those that differ from all before."""

    speedups: tuple[float, ...]
    count: int = Field(ge=1, description="children at each target and speed-up, the optimum not counted")
    min_difference: int = Field(ge=1, description="layers in which each differs from all before it")


class BaselineParams(Section):
    """Children of the ways to choose that the search is compared with."""

    target: str | None = Field(
        description="cost target of the budgets; null for the first measured one, or else the first"
    )
    methods: tuple[Method, ...]
    speedups: tuple[float, ...]


class RandomParams(Section):
    """Children in which some layers, drawn at random, have a block drawn at random."""

    replaced: tuple[int, ...] = Field(description="layers that are exchanged, one child each")
    share: float = Field(gt=0, le=1, description="blocks of a layer to draw from, those of least score")


def row(group: str, method: str, blocks: list[str], target: str | None = None, speedup: float | None = None) -> Row:
    """One child; its name states its origin."""
    where = [target, None if speedup is None else f"{speedup:g}x"]
    name = "-".join(part for part in (method, *where) if part)
    return {"name": name, "group": group, "target": target, "method": method, "speedup": speedup, "blocks": blocks}


def _within(library: Library, speedup: float) -> dict[str, float]:
    return {budgets.RUNTIME: budgets.runtime_for_speedup(library, speedup)}


def optima(libraries: Mapping[str, Library], objective: str, speedups: tuple[float, ...]) -> list[Row]:
    """The search's own children: the proven optimum of every target at every speed-up."""
    rows = []
    for target, library in libraries.items():
        for speedup in speedups:
            best = solver.solve(library, objective, _within(library, speedup))
            if best.choice:
                rows.append(row("mip", "mip", list(best.choice.values()), target, speedup))
    return rows


def diverse(libraries: Mapping[str, Library], objective: str, params: DiverseParams) -> list[Row]:
    """Next-best children at some speed-ups, each of which differs from all before, the optimum among them."""
    rows = []
    for target, library in libraries.items():
        for speedup in params.speedups:
            limits = _within(library, speedup)
            solutions = solver.diverse(library, objective, params.count + 1, params.min_difference, at_most=limits)
            for n, solution in enumerate(solutions[1:], 1):
                rows.append(row("diverse", f"diverse{n}", list(solution.choice.values()), target, speedup))
    return rows


def others(
    library: Library, objective: str, params: BaselineParams, target: str, generator: np.random.Generator
) -> list[Row]:
    """Children of the baselines on a target.

    Ways that end outside a budget have none there; equal children are given once.
    """
    unknown = set(params.methods) - set(get_args(Method))
    if unknown:
        raise ValueError(
            f"baselines.methods has {', '.join(sorted(unknown))}; expected some of {', '.join(get_args(Method))}"
        )
    rows: list[Row] = []
    for method in params.methods:
        for speedup in params.speedups:
            limits = _within(library, speedup)
            solution = baselines.choose(method, library, objective, limits, {}, generator=generator)
            blocks = list(solution.choice.values())
            if blocks and blocks not in [child["blocks"] for child in rows]:
                rows.append(row("baselines", method, blocks, target, speedup))
    return rows


def random(
    library: Library, objective: str, group: str, params: RandomParams, generator: np.random.Generator
) -> list[Row]:
    """Children with a given number of layers exchanged, layers and blocks drawn evenly.

    Blocks are drawn from the share of a layer's blocks that have the least scores, the parent's own left out. Raises
    ValueError where more layers are asked for than there are.
    """
    layers = block_library.layers(library)
    kept = block_library.parent_choice(library)
    rows: list[Row] = []
    for n in params.replaced:
        if not 0 < n <= len(layers):
            raise ValueError(
                f"random.{group}.replaced has {n}; expected 1 to {len(layers)}, the number of layers of the parent"
            )
        choice = dict(kept)
        for i in sorted(generator.choice(len(layers), n, replace=False)):
            layer = layers[i]
            others = [variant for variant in sorted(library[layer]) if variant != kept[layer]]
            others.sort(key=lambda variant: block_library.number(library, layer, variant, objective))
            choice[layer] = others[int(generator.integers(max(1, round(params.share * len(others)))))]
        earlier = params.replaced[: len(rows)].count(n)
        rows.append(row(group, f"{group}{n}" + (f"-{earlier + 1}" if earlier else ""), list(choice.values())))
    return rows
