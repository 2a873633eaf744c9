"""The two searches of coupled distillation: which pairs survive the first, and what the second chooses among."""

from collections.abc import Iterable, Mapping
from typing import Any

from tessera.puzzle import search
from tessera.puzzle.child import Choice
from tessera.puzzle.models.space import Space
from tessera.puzzle.search import block_library, budgets, draws
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.search.draws import DiverseParams, Row
from tessera.puzzle.studies.coupled.pairs import MARK, can_be_coupled, plain
from tessera.puzzle.studies.coupled.params import CoupledParams


def first_search(libraries: Mapping[str, Library], objective: str, params: CoupledParams) -> list[Row]:
    """The first search's children: the optimum of every target and speed-up, then the next best.

    Raises ValueError, naming the target and speed-up, if no child is that fast.
    """
    rows = draws.optima(libraries, objective, params.speedups)
    optima = {(row["target"], row["speedup"]) for row in rows}
    for target in libraries:
        for speedup in params.speedups:
            if (target, speedup) not in optima:
                raise ValueError(f"coupled.speedups has {speedup:g}: no child for {target} is that fast")
    if params.diverse:
        diverse = DiverseParams(speedups=params.speedups, count=params.diverse, min_difference=params.min_difference)
        rows += draws.diverse(libraries, objective, diverse)
    return rows


def survivors(rows: Iterable[Row], space: Space) -> dict[int, list[str]]:
    """Return, by layer, the pairs of the children that can be coupled, sorted. Raises ValueError if there is none."""
    pairs: dict[int, set[str]] = {}
    for row in rows:
        for layer, block in enumerate(row["blocks"]):
            if can_be_coupled(block, space):
                pairs.setdefault(layer, set()).add(block)
    if not pairs:
        raise ValueError("no child of the first search exchanges an attention, so there is no pair to train")
    return {layer: sorted(pairs[layer]) for layer in sorted(pairs)}


def extended(library: Library, scores: Mapping[int, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Return a block library with coupled and decoupled blocks, from layer -> block -> metrics of whole blocks.

    A coupled block costs what its pair does. A decoupled pair's own score as one block takes the place of the sum of
    its subblocks'. Raises ValueError, naming layer and block, if the library has no such pair.
    """
    both: dict[str, dict[str, Any]] = {layer: dict(variants) for layer, variants in library.items()}
    for i, blocks in scores.items():
        layer = f"layer_{i}"
        for block, metrics in blocks.items():
            if plain(block) not in library.get(layer, {}):
                raise ValueError(f"{layer}: the block library has no {plain(block)!r}, but there is a score of it")
            both[layer][block] = {"stats": library[layer][plain(block)]["stats"], "metrics": dict(metrics)}
    block_library.check(both)
    return both


def with_coupled(library: Library, choice: Choice) -> list[str]:
    """Return the same choice, with a coupled block in place of every pair for which an extended library has one."""
    return [
        block + MARK if block + MARK in library[layer] else block
        for layer, block in zip(block_library.layers(library), choice, strict=True)
    ]


def second_search(library: Library, both: Library, objective: str, target: str, speedup: float) -> list[dict[str, Any]]:
    """Three children at one budget: the first search's, the same of coupled blocks, and the second search's.

    library is the first search's, `both` its extension. Rows as draws.row, with the KL that each library promises for
    the children that it has, and the time of their blocks. Raises ValueError if no child is that fast.
    """
    budget = budgets.runtime_for_speedup(library, speedup)
    first, second = (search.solve(blocks, objective, {budgets.RUNTIME: budget}) for blocks in (library, both))
    if not first.choice:
        raise ValueError(f"coupled.speedups has {speedup:g}: no child for {target} is that fast")
    names, decoupled = block_library.layers(library), list(first.choice.values())
    choices = {
        "decoupled": decoupled,
        "coupled": with_coupled(both, decoupled),
        "searched": list(second.choice.values()),
    }
    rows = []
    for method, chosen in choices.items():
        choice = dict(zip(names, chosen, strict=True))
        rows.append(
            draws.row("coupled", method, chosen, target, speedup)
            | {
                "promised": block_library.total(both, choice, objective),
                "promised_by_sum": first.value if method == "decoupled" else None,
                "runtime_ms": block_library.total(both, choice, budgets.RUNTIME),
                "budget_ms": budget,
            }
        )
    return rows
