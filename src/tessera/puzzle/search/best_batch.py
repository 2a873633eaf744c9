"""The best child for a service: batch size and blocks together, under the budgets of a service.

A program has one batch size [Puzzle, App. B], so one is solved for each batch size with its cost table, and the best
is kept. The costs outside the layers (embedding, head) are subtracted from the budgets first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from tessera.puzzle.search import block_library, budgets
from tessera.puzzle.search import solver as search
from tessera.puzzle.search.block_library import NON_BLOCK, Scores
from tessera.puzzle.search.solver import Solution
from tessera.puzzle.search_params import Solver


@dataclass(frozen=True)
class Service:
    """Budgets of the whole model; None sets none.

    throughput in tokens per second of one GPU or machine, `counted` as all tokens or only output; memory of weights
    and the whole batch's KV cache in MiB; latency in ms from the prompts to the last token; first_token in ms until the
    whole batch has its first; parameters as a count.
    """

    throughput: float | None = None
    counted: Literal["all", "output"] = "output"
    memory_mib: float | None = None
    latency_ms: float | None = None
    first_token_ms: float | None = None
    parameters: float | None = None


@dataclass(frozen=True)
class BatchSolution:
    """A batch size and its best child; `costs` are of the whole model, tokens per second by both definitions."""

    batch: int
    solution: Solution
    costs: dict[str, float]


def limits(service: Service, info: Mapping[str, Any]) -> dict[str, float]:
    """Budgets of the blocks only, by the library's keys; info is its measurement_info.

    Raises ValueError, naming the budget, if what is outside the layers takes more than all of it.
    """
    outside = info[NON_BLOCK]
    limits: dict[str, float] = {}

    def bound(name: str, key: str, budget: float | None) -> None:
        if budget is None:
            return
        left = budget - outside[key]
        if left < 0:
            raise ValueError(f"{name} = {budget:g}: embedding and head alone take {outside[key]:g}")
        limits[f"stats.{key}"] = min(left, limits.get(f"stats.{key}", left))

    bound("memory_mib", "memory_mib", service.memory_mib)
    bound("latency_ms", "runtime_ms", service.latency_ms)
    bound("first_token_ms", "prefill_ms", service.first_token_ms)
    bound("parameters", "parameters", service.parameters)
    if service.throughput is not None:
        runtime = budgets.runtime_for_throughput(info, service.throughput, service.counted, outside["runtime_ms"])
        limits[budgets.RUNTIME] = min(runtime, limits.get(budgets.RUNTIME, runtime))
    return limits


def solve(
    scores: Scores,
    tables: Mapping[int, pd.DataFrame],
    service: Service,
    objective: str = "metrics.kl_div",
    solver: Solver = "highs",
) -> tuple[BatchSolution | None, dict[int, str]]:
    """Return the best of all batches, and for each batch its value or why it has none.

    tables holds the cost table of each batch. Ties are broken by throughput. The first part is
    None if no batch has a child within the budgets.
    """
    best: tuple[tuple[float, float], BatchSolution] | None = None
    words: dict[int, str] = {}
    for batch, table in sorted(tables.items()):
        library, info = block_library.make(scores, table), block_library.measurement_info(table)
        try:
            at_most = limits(service, info)
        except ValueError as error:
            words[batch] = str(error)
            continue
        solution = search.solve(library, objective, at_most, solver=solver)
        if solution.value is None:
            words[batch] = f"infeasible; feasible would be {solution.smallest_feasible}"
            continue
        costs = {key: solution.costs[f"stats.{key}"] + info[NON_BLOCK][key] for key in block_library.STATS}
        costs |= {
            k.removeprefix("model_"): float(v) for k, v in _speed(solution, info).items() if k.startswith("model_")
        }
        words[batch] = f"{objective} = {solution.value:.6g}"
        key = (solution.value, -costs["output_tokens_per_s"])
        if best is None or key < best[0]:
            best = key, BatchSolution(batch, solution, costs)
    return (best[1] if best else None), words


def _speed(solution: Solution, info: Mapping[str, Any]) -> dict[str, float]:
    speed = budgets.speed(solution.costs[budgets.RUNTIME], solution.costs[budgets.RUNTIME], info)
    return {key: value for key, value in speed.items() if value is not None and not key.endswith("speedup")}
