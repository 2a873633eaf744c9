"""Search a target's block library: the frontier of throughputs, and the children to assemble."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams
from tessera.puzzle.search import (
    Choice,
    Method,
    ModelLimits,
    SearchParams,
    Solution,
    baselines,
    block_library,
    budgets,
    calibrated,
)
from tessera.puzzle.search.calibrated import Found, Run


class Params(Section):
    """The search, the space and text by which one of several optima is taken, and the seed of the whole study."""

    search: SearchParams
    space: Space
    scores: ScoresParams
    compute: ComputeParams
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
    parent: Path | None = None,
    tokens: Path | None = None,
    variants: list[Path] = [],  # noqa: B006  never changed
) -> None:
    """Write the block library of the layers' scores ({layer: scores} in each file) and a cost table, and search it.

    With several search.cosines their optima are run and the cosine is fitted: parent, tokens and variants, the
    directories of the block library's tensors, are read for that.
    """
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

    def within(speedup: float | None, model: ModelLimits | None = None) -> dict[str, float]:
        """Upper limits of a child, those of all children among them."""
        own = budgets.of_model(blocks, model, info) if model else {}
        if speedup is not None:
            budget = budgets.runtime_for_speedup(blocks, speedup)
            own[budgets.RUNTIME] = min(budget, own.get(budgets.RUNTIME, budget))
        return at_most | {key: min(limit, at_most.get(key, limit)) for key, limit in own.items()}

    limits: dict[float | str, dict[str, float]] = {speedup: within(speedup) for speedup in search.speedups}
    limits["children"] = within(search.child_speedup, search.child)
    found: Found[float | str] | None = None
    if "quadratic" in search.methods and len(search.cosines) > 1:
        if parent is None or tokens is None or not variants:
            raise ValueError(
                f"search.cosines = {search.cosines}: to choose, the job needs --parent, --tokens, --variants"
            )
        found = calibrated.solve(
            blocks,
            search.objective,
            limits,
            at_least,
            search.cosines,
            _kl(params, parent, tokens, variants),
            search.solver,
            partial(progress.track, description=f"search {target}, optima"),
        )

    def point(method: Method, key: float | str, speedup: float | None) -> dict[str, Any]:
        """One method's child within one of the limits, as a row of the results."""
        if method == "quadratic" and found is not None:
            solution = found.solutions[key]
        else:
            generator = randomness.generator(params.seed, "puzzle_search", target, str(speedup))
            solution = baselines.choose(
                method, blocks, search.objective, limits[key], at_least,
                generator=generator, solver=search.solver, space=params.space,
                cosine=found.cosine if found else search.cosines[0],
            )  # fmt: skip
        about = {"method": method, "speedup": speedup, "runtime_budget_ms": limits[key].get(budgets.RUNTIME)}
        return _row(solution, parent_ms, info) | about

    grid = [(method, speedup) for speedup in search.speedups for method in search.methods]
    points = [point(method, speedup, speedup) for method, speedup in progress.track(grid, f"search {target}")]
    about = {"target": target, "objective": search.objective, "parent_runtime_ms": parent_ms}
    if "quadratic" in search.methods:
        about["cosine"] = found.cosine if found else search.cosines[0]
    runs = {"runs": [_run(run) for run in found.runs]} if found else {}
    files.write_json(frontier, about | {"points": points} | runs)
    files.write_csv(frontier_table, _flat(points))
    chosen = {method: point(method, "children", search.child_speedup) for method in search.methods}
    limited = {"speedup": search.child_speedup, "limits": search.child.model_dump() if search.child else None}
    files.write_json(children, about | limited | {"children": chosen})


def _kl(params: Params, parent: Path, tokens: Path, variants: Sequence[Path]) -> Callable[[Choice], float]:
    """A function that gives the KL of a choice's child on validation text."""
    from tessera.puzzle import child, compute
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading, memory
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.text import read

    devices = compute.start_all(params.compute)
    window = params.scores.window
    memory.announce("search", memory.evaluation(architectures.read(parent), window, 1), devices, parent)
    teacher = loading.load(parent, devices).requires_grad_(False)
    seed = randomness.seed(params.seed, "puzzle", "search")
    text = read(tokens, "valid", window, params.search.windows, seed)
    reference = Reference(teacher, text.tokens, text.document, text.mask)

    def kl(choice: Choice) -> float:
        return reference.measure(child.assemble(teacher, params.space, variants, list(choice.values())))["kl_div"]

    return kl


def _run(run: Run) -> dict[str, Any]:
    sums = {"scores": run.scores, "interactions": run.interactions}
    return {"blocks": list(run.choice.values()), **sums, "kl_div": run.kl}


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
