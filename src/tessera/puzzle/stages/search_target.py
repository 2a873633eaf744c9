"""Search a target's block library: the frontier of throughputs, and the children to assemble."""

from pathlib import Path
from typing import Any

import pandas as pd

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.search import ModelLimits, SearchParams, Solution, baselines, block_library, budgets


class Params(Section):
    """The search, and the seed of the whole study."""

    search: SearchParams
    seed: int


def main(
    params: Params,
    target: str,
    scores: list[Path],
    costs: Path,
    library: Path,
    measurement_info: Path,
    frontier: Path,
    frontier_table: Path,
    children: Path,
) -> None:
    """Write the block library of the layers' scores ({layer: scores} in each file) and a cost table, and search it."""
    table = files.read_parquet(costs)
    layers = {int(layer): scored for path in scores for layer, scored in files.read_json(path).items()}
    blocks = block_library.make([layers[layer] for layer in sorted(layers)], table)
    info = block_library.measurement_info(table)
    files.write_json(library, blocks)
    files.write_json(measurement_info, info)

    search = params.search
    parent_ms = block_library.total(blocks, block_library.parent_choice(blocks), budgets.RUNTIME)
    at_most = budgets.resolve(blocks, search.at_most)
    at_least = budgets.resolve(blocks, search.at_least)

    def point(method: Any, speedup: float | None, model: ModelLimits | None = None) -> dict[str, Any]:
        """One method's child at one budget, as a row of the results."""
        own = budgets.of_model(blocks, model, info) if model else {}
        if speedup is not None:
            budget = budgets.runtime_for_speedup(blocks, speedup)
            own[budgets.RUNTIME] = min(budget, own.get(budgets.RUNTIME, budget))
        limits = at_most | {key: min(limit, at_most.get(key, limit)) for key, limit in own.items()}
        generator = randomness.generator(params.seed, "puzzle_search", target, str(speedup))
        solution = baselines.choose(
            method,
            blocks,
            search.objective,
            limits,
            at_least,
            generator=generator,
            solver=search.solver,
            cosine=search.cosine,
        )
        about = {"method": method, "speedup": speedup, "runtime_budget_ms": own.get(budgets.RUNTIME)}
        return _row(solution, parent_ms, info) | about

    grid = [(method, speedup) for speedup in search.speedups for method in search.methods]
    points = [point(method, speedup) for method, speedup in progress.track(grid, f"search {target}")]
    about = {"target": target, "objective": search.objective, "parent_runtime_ms": parent_ms}
    files.write_json(frontier, about | {"points": points})
    files.write_csv(frontier_table, _flat(points))
    chosen = {method: point(method, search.child_speedup, search.child) for method in search.methods}
    limits = {"speedup": search.child_speedup, "limits": search.child.model_dump() if search.child else None}
    files.write_json(children, about | limits | {"children": chosen})


def _row(solution: Solution, parent_ms: float, info: dict[str, Any]) -> dict[str, Any]:
    # JSON files have their keys sorted, layer_10 before layer_2; `blocks` is in the order of the layers.
    row = solution.as_dict() | {"blocks": list(solution.choice.values())}
    return row | {
        "speed": None if solution.value is None else budgets.speed(solution.costs[budgets.RUNTIME], parent_ms, info)
    }


def _flat(points: list[dict[str, Any]]) -> pd.DataFrame:
    """The points without their choices, one column per number."""
    first = ["speedup", "method", "status", "value", "bound", "relaxation", "runtime_budget_ms"]
    rows = []
    for point in points:
        row = {name: point[name] for name in first}
        row["shadow_price"] = point["shadow_prices"].get(f"at_most {budgets.RUNTIME}")
        row |= {key.removeprefix("stats."): cost for key, cost in point["costs"].items()}
        rows.append(row | (point["speed"] or {}))
    return pd.DataFrame(rows)


if __name__ == "__main__":
    stage.run(main)
