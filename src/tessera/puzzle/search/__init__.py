"""Choose one block variant for each layer, under hard budgets, so that the summed scores are best."""

from tessera.puzzle.search.solver import (
    Choice,
    Limits,
    Solution,
    choosable,
    costs,
    diverse,
    feasible,
    frontier,
    solve,
)
from tessera.puzzle.search_params import Method, ModelLimits, SearchParams

__all__ = [
    "Choice",
    "Limits",
    "Method",
    "ModelLimits",
    "SearchParams",
    "Solution",
    "choosable",
    "costs",
    "diverse",
    "feasible",
    "frontier",
    "solve",
]
