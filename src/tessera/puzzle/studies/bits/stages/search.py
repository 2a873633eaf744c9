"""Search structure and bits, at once and one without the other, under limits of time and of size."""

from pathlib import Path
from typing import Any

from tessera.common import files, progress, stage
from tessera.puzzle.studies.bits.params import BitsParams


def main(params: BitsParams, scores: list[Path], tables: list[Path], children: Path) -> None:
    """Write the parent in each type, and the child of every method at every speed and size.

    tables are the costs in the order of the types.
    """
    from tessera.puzzle.search import block_library
    from tessera.puzzle.studies.bits import program

    parts = [files.read_json(path) for path in scores]
    layers = {int(layer): found for part in parts for layer, found in part["layers"].items()}
    (outside,) = (part["outside"] for part in parts if "outside" in part)
    costs = {dtype: files.read_parquet(path) for dtype, path in zip(params.types, tables, strict=True)}
    whole, root = program.library([layers[i] for i in sorted(layers)], outside, costs)

    def row(choice: dict[str, str], **about: Any) -> dict[str, Any]:
        *blocks, last = choice.values()
        sums = {key: block_library.total(whole, choice, key) for key in (program.RUNTIME, program.SIZE)}
        numbers = {"runtime_ms": sums[program.RUNTIME], "size_mib": sums[program.SIZE]}
        return about | {"blocks": blocks, "outside": last.partition("@")[2]} | numbers

    def value(choice: dict[str, str]) -> float:
        return program.quadratic.value(whole, choice, program.OBJECTIVE, root, params.cosine)

    parents = [(dtype, program.parent(whole, dtype)) for dtype in params.types]
    points = [row(choice, method="types", budget=None, at=None, types=t, value=value(choice)) for t, choice in parents]
    first = points[0]
    budgets = [("speed", at, {program.RUNTIME: first["runtime_ms"] / at}) for at in params.speeds]
    budgets += [("size", at, {program.SIZE: first["size_mib"] * at}) for at in params.sizes]
    for budget, at, limits in progress.track(budgets, "search structure and bits"):
        for method, found in program.solve(whole, root, params.cosine, params.types, limits).items():
            if found.value is not None:
                about = {"method": method, "budget": budget, "at": at, "status": found.status, "value": found.value}
                points.append(row(found.choice, **about))
    for point in points:
        point["speed"] = first["runtime_ms"] / point["runtime_ms"]
        point["size"] = point["size_mib"] / first["size_mib"]
    files.write_json(children, {"points": points})


if __name__ == "__main__":
    stage.run(main)
