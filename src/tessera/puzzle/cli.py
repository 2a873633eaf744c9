"""`tessera puzzle`: search a block library from the command line."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tessera.common import files
from tessera.common.console import console
from tessera.puzzle import search
from tessera.puzzle.search import Solution, baselines, block_library, budgets, quadratic
from tessera.puzzle.search_params import Solver

app = typer.Typer(help="Choose one block variant for each layer, under hard budgets.", no_args_is_help=True)
Library = Annotated[Path, typer.Argument(help="block library, JSON of {layer: {variant: {stats, metrics}}}")]
Objective = Annotated[str, typer.Option(help="score to minimise (summed over layers)")]
Bigger = Annotated[bool, typer.Option("--bigger-is-better", help="maximise the objective instead")]
AtMost = Annotated[
    list[str], typer.Option(help="upper limit: KEY=NUMBER, or KEY=PERCENT% of the parent's; may be repeated")
]
AtLeast = Annotated[list[str], typer.Option(help="lower limit, as --at-most; both for one key make a range")]
Parent = Annotated[str | None, typer.Option(help="name of the parent's own variant, if it cannot be inferred")]
Engine = Annotated[Solver, typer.Option(help="solver: highs or cbc")]
Out = Annotated[Path | None, typer.Option(help="JSON file for the result")]


@app.command()
def solve(
    library: Library,
    objective: Objective = "metrics.kl_div",
    at_most: AtMost = [],  # noqa: B006  Typer wants a list
    at_least: AtLeast = [],  # noqa: B006
    speedup: Annotated[float | None, typer.Option(help="block throughput, in multiples of the parent's")] = None,
    bigger_is_better: Bigger = False,
    homogeneous: Annotated[bool, typer.Option("--homogeneous", help="one variant for all layers")] = False,
    cosine: Annotated[
        float | None,
        typer.Option(help="count that exchanged attentions reinforce one another; of variants ATTENTION+FFN"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="number of solutions, each --min-difference from the others")] = 1,
    min_difference: Annotated[int, typer.Option(min=0, help="layers in which solutions differ")] = 0,
    different_from: Annotated[list[Path], typer.Option(help="earlier --out file whose solutions to differ from")] = [],  # noqa: B006
    parent: Parent = None,
    solver: Engine = "highs",
    out: Out = None,
) -> None:
    """Find the provably best choice of one variant for each layer."""
    with errors():
        blocks = block_library.read(library)
        with errors(library):
            if parent is not None:
                block_library.parent_choice(blocks, parent)
            most, least = (budgets.resolve(blocks, _pairs(limits), parent) for limits in (at_most, at_least))
            if speedup is not None:
                runtime = budgets.runtime_for_speedup(blocks, speedup, parent)
                most[budgets.RUNTIME] = min(runtime, most.get(budgets.RUNTIME, runtime))
            limits: dict[str, Any] = {"at_most": most, "at_least": least, "bigger_is_better": bigger_is_better}
            if cosine is not None and (homogeneous or bigger_is_better or count > 1):
                raise ValueError("--cosine goes with neither --homogeneous, --bigger-is-better nor a --count above 1")
            if homogeneous:
                solutions = [baselines.homogeneous(blocks, objective, **limits)]
            else:
                earlier = [s["choice"] for path in different_from for s in files.read_json(path)["solutions"]]
                differing: dict[str, Any] = {
                    "different_from": earlier,
                    "min_difference": min_difference,
                    "solver": solver,
                }
                if cosine is not None:
                    rooted, root = quadratic.with_roots(blocks, objective)
                    solutions = [quadratic.solve(rooted, objective, root, cosine, most, least, **differing)]
                else:
                    solutions = search.diverse(
                        blocks, objective, count, min_difference, earlier, solver=solver, **limits
                    ) or [search.solve(blocks, objective, **differing, **limits)]
        if solutions[0].status == "infeasible":
            raise ValueError(f"{library}: {_why(solutions[0], {'at_most': most, 'at_least': least})}")
        for solution in solutions:
            _show(solution, objective, most, least)
        _write(out, {"objective": objective, **limits}, solutions)


@app.command()
def frontier(
    library: Library,
    objective: Objective = "metrics.kl_div",
    budget: Annotated[str, typer.Option(help="key of the cost to sweep")] = budgets.RUNTIME,
    speedups: Annotated[str, typer.Option(help="budgets as the parent's cost divided by these, as in 1.05,1.3,2")] = "",
    limits: Annotated[
        str, typer.Option(help="budgets as numbers or percentages of the parent's cost, as in 100,80%")
    ] = "",
    at_most: AtMost = [],  # noqa: B006
    at_least: AtLeast = [],  # noqa: B006
    bigger_is_better: Bigger = False,
    parent: Parent = None,
    solver: Engine = "highs",
    out: Out = None,
) -> None:
    """Sweep one budget; every point is a proven optimum."""
    with errors():
        blocks = block_library.read(library)
        if bool(speedups) == bool(limits):
            raise ValueError("give either --speedups or --limits")
        factors = [_float(text) for text in speedups.split(",")] if speedups else []
        with errors(library):
            if factors:
                at = [budgets.runtime_for_speedup(blocks, factor, parent, budget) for factor in factors]
            else:
                at = [budgets.resolve(blocks, {budget: text}, parent)[budget] for text in limits.split(",")]
            most, least = (budgets.resolve(blocks, _pairs(texts), parent) for texts in (at_most, at_least))
            options: dict[str, Any] = {"at_least": least, "bigger_is_better": bigger_is_better, "solver": solver}
            solutions = search.frontier(blocks, objective, budget, at, most, **options)
        table = Table("at most " + budget, objective, "bound", "relaxation", "shadow price", "status")
        for limit, s in zip(at, solutions, strict=True):
            price = s.shadow_prices.get(f"at_most {budget}")
            table.add_row(*(_text(v) for v in (limit, s.value, s.bound, s.relaxation, price)), s.status)
        console().print(table)
        request = {"objective": objective, "budget": budget, "limits": at, "at_most": most, "at_least": least}
        _write(out, request, solutions)


@contextmanager
def errors(path: Path | None = None) -> Iterator[None]:
    """Exit with status 1 and one line; given a path, put it before the error instead."""
    try:
        yield
    except (ValueError, OSError) as error:
        if path is not None:
            raise ValueError(f"{path}: {error}") from error
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _pairs(texts: Sequence[str]) -> dict[str, float | str]:
    """KEY=VALUE texts as a dictionary."""
    limits: dict[str, float | str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise ValueError(f"{text!r}; expected KEY=NUMBER, as in stats.memory_mib=80000, or KEY=PERCENT%")
        if key in limits:
            raise ValueError(f"{key} is given twice")
        limits[key] = value
    return limits


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--speedups: {text!r}; expected comma-separated numbers, as in 1.05,1.3,2") from None


def _why(solution: Solution, limits: Mapping[str, Mapping[str, float]]) -> str:
    """What is infeasible, and what would be feasible; limits are those of at_most and of at_least by key."""
    lines = ["infeasible: no choice keeps all limits"]
    for name, nearest in solution.smallest_feasible.items():
        kind, _, key = name.partition(" ")
        asked = f" {limits[kind][key]}" if key in limits.get(kind, {}) else ""
        would = "cannot be met whatever its value" if nearest is None else f"{nearest} is feasible if all others stay"
        lines.append(f"{name}{asked}: {would}")
    return "\n  ".join(lines)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _show(solution: Solution, objective: str, most: dict[str, float], least: dict[str, float]) -> None:
    """Print sums and their limits, then the layers of each variant."""
    title = solution.status if solution.bound is None else f"{solution.status}, bound {_text(solution.bound)}"
    sums = Table("sum over layers", "value", "at least", "at most", title=title)
    sums.add_row(objective, _text(solution.value), "", "")
    for key, value in solution.costs.items():
        sums.add_row(key, _text(value), _text(least.get(key)), _text(most.get(key)))
    choice = Table("variant", "layers", "which")
    for variant in sorted(set(solution.choice.values())):
        which = [layer.removeprefix("layer_") for layer, chosen in solution.choice.items() if chosen == variant]
        choice.add_row(variant.replace("\t", " "), str(len(which)), " ".join(which))
    console().print(sums, choice)


def _write(out: Path | None, request: dict[str, Any], solutions: Sequence[Solution]) -> None:
    if out is not None:
        files.write_json(out, {"request": request, "solutions": [s.as_dict() for s in solutions]})
