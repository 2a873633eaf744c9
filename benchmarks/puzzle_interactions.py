"""Benchmark of the search with interactions, compared with the same program given whole to general solvers.

    python benchmarks/puzzle_interactions.py [--layers 30] [--seconds 20]

    minimise  sum_b s_b + c (A^2 - sum_b r_b^2),      A = sum_b r_b

over one block b a layer within a budget of time, with r_b the root of the score of a block's attention. Libraries are
those of `puzzle_search.py`, with one cost table for all layers, or costs that differ by layer. SCIP has A^2 as one
quadratic constraint, to which it adds cuts of its own; HiGHS through PuLP, which has no quadratic programs with
integers, has a variable for each product of two attentions of two layers. Peers have no reduction before; SCIP is left
out if pyscipopt is not installed. All prove the optimum to 1e-6 of itself. One thread, all in the same run; a peer is
stopped after --seconds. Times are CPU seconds.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import pulp
from puzzle_search import SCORE, machine, random_library, timed

from tessera.common import files
from tessera.puzzle.models.space import PARENT, compose, decompose
from tessera.puzzle.search import budgets, quadratic

#: Share of the optimum to which all prove it.
GAP = 1e-6
#: Cosines of two attentions: those of the default search, and one that is stronger than any measured.
COSINES = (0.02, 0.16)
SPEEDUPS = (1.1, 1.3, 2.0)
#: Scatter of costs between layers.
SPREADS = {"one table": 0.0, "by layer": 0.05}
RUNTIME = "runtime_ms"


def library(layers: int, spread: float) -> dict:
    """A library of 54 blocks a layer, whose largest are the parent's."""
    names = {"kv8": PARENT, "ffn100": PARENT}
    made = random_library(layers, 54, 0, spread)
    return {
        layer: {compose(*(names.get(name, name) for name in decompose(block))): row for block, row in blocks.items()}
        for layer, blocks in made.items()
    }


class Terms:
    """The program's numbers: of each block by layer, the linear part s - c r^2, r and the time."""

    def __init__(self, rooted: dict, root: str, cosine: float) -> None:
        self.cosine = cosine
        self.blocks = [list(blocks) for blocks in rooted.values()]
        key, score = root.partition(".")[2], SCORE.partition(".")[2]
        rows = [list(blocks.values()) for blocks in rooted.values()]
        self.roots = [[row["metrics"][key] for row in layer] for layer in rows]
        self.times = [[row["stats"][RUNTIME] for row in layer] for layer in rows]
        self.linear = [[row["metrics"][score] - cosine * row["metrics"][key] ** 2 for row in layer] for layer in rows]


def scip(terms: Terms, limit: float, seconds: float) -> tuple[float, bool]:
    """The optimum by SCIP, and whether it was proven within the time."""
    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    model.setParam("limits/time", seconds)
    model.setParam("limits/gap", GAP)
    model.setParam("numerics/feastol", 1e-9)
    model.setParam("parallel/maxnthreads", 1)
    x = [[model.addVar(vtype="B") for _ in layer] for layer in terms.linear]
    total, square = model.addVar(), model.addVar()
    for layer in x:
        model.addCons(quicksum(layer) == 1)
    model.addCons(total == _sum(quicksum, terms.roots, x))
    model.addCons(square >= total * total)
    model.addCons(_sum(quicksum, terms.times, x) <= limit)
    model.setObjective(_sum(quicksum, terms.linear, x) + terms.cosine * square)
    model.optimize()
    return model.getObjVal(), model.getStatus() in ("optimal", "gaplimit")


def highs(terms: Terms, limit: float, seconds: float) -> tuple[float, bool]:
    """The optimum by HiGHS with a variable for each product, and whether it was proven within the time."""
    problem = pulp.LpProblem("interactions", pulp.LpMinimize)
    x = [
        [problem.add_variable(f"x_{i}_{j}", 0, 1, pulp.LpBinary) for j in range(len(layer))]
        for i, layer in enumerate(terms.linear)
    ]
    # Blocks with the same attention share its r, so a product is one of two attentions.
    attentions = []
    for layer, blocks, roots in zip(x, terms.blocks, terms.roots, strict=True):
        of: dict[str, tuple[float, list]] = {}
        for variable, block, root in zip(layer, blocks, roots, strict=True):
            of.setdefault(decompose(block)[0], (root, []))[1].append(variable)
        attentions.append([(root, pulp.lpSum(same)) for root, same in of.values() if root])
    products = []
    for (i, one), (k, other) in itertools.combinations(enumerate(attentions), 2):
        for (u, (r, a)), (v, (s, b)) in itertools.product(enumerate(one), enumerate(other)):
            both = problem.add_variable(f"z_{i}_{u}_{k}_{v}", 0, 1)
            problem += both >= a + b - 1
            products.append(2 * terms.cosine * r * s * both)
    # The square has the r_b^2 of each layer, which the linear part takes away again.
    scores = [
        [linear + terms.cosine * root**2 for linear, root in zip(*layer, strict=True)]
        for layer in zip(terms.linear, terms.roots, strict=True)
    ]
    problem += _sum(pulp.lpSum, scores, x) + pulp.lpSum(products)
    for layer in x:
        problem += pulp.lpSum(layer) == 1
    problem += _sum(pulp.lpSum, terms.times, x) <= limit
    started = time.perf_counter()
    problem.solve(pulp.HiGHS(msg=False, gapRel=GAP, threads=1, timeLimit=seconds))
    value = pulp.value(problem.objective)
    return float("nan") if value is None else float(value), time.perf_counter() - started < seconds


def _sum(add, numbers, variables):
    return add(
        number * variable for row in zip(numbers, variables, strict=True) for number, variable in zip(*row, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[30])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    options = parser.parse_args()
    peers = {"PuLP + HiGHS, products": highs}
    try:
        import pyscipopt
    except ImportError:
        print("pyscipopt is not installed: left out")
    else:
        peers = {f"SCIP (pyscipopt {pyscipopt.__version__})": scip} | peers
    small, root = quadratic.with_roots(library(2, 0.0), SCORE)
    quadratic.solve(small, SCORE, root, COSINES[0])  # solvers load at the first call
    rows = []
    for layers, costs, cosine, speedup in itertools.product(options.layers, SPREADS, COSINES, SPEEDUPS):
        rooted, root = quadratic.with_roots(library(layers, SPREADS[costs]), SCORE)
        limit = budgets.runtime_for_speedup(rooted, speedup)
        row: dict = {"layers": layers, "costs": costs, "cosine": cosine, "speedup": speedup}
        row |= {"seconds": {}, "proven": {}, "value": {}}
        answer, row["seconds"]["tessera"] = timed(
            quadratic.solve, rooted, SCORE, root, cosine, {budgets.RUNTIME: limit}
        )
        row["value"]["tessera"], row["proven"]["tessera"] = answer.value, answer.status == "optimal"
        terms = Terms(rooted, root, cosine)
        for name, peer in peers.items():
            (row["value"][name], row["proven"][name]), row["seconds"][name] = timed(peer, terms, limit, options.seconds)
        rows.append(row)
        print(json.dumps(row), flush=True)
    report = {"seconds": options.seconds, "machine": machine(), "rows": rows}
    files.write_json(options.out.with_suffix(".json"), report)
    files.write_text(options.out.with_suffix(".md"), markdown(report))


def markdown(report: dict) -> str:
    """The report as a table; ratios are of the peer's time to ours in this run."""
    m, rows = report["machine"], report["rows"]
    names = list(rows[0]["seconds"])
    lines = [
        "# Search with interactions: 54 variants a layer, proven to 1e-6",
        "",
        f"{m['cpu']}, 1 thread, Python {m['python']}, PuLP {m['pulp']}, {m['date']}. CPU seconds; in brackets the",
        f"ratio to tessera in the same run; * not proven within {report['seconds']} s, with how much more its best",
        "choice costs than tessera's. tessera's time includes the check in exact arithmetic.",
        "Command: `python benchmarks/puzzle_interactions.py`.",
        "",
        "| layers | costs | cosine | speed-up | " + " | ".join(names) + " |",
        "|--:|---|--:|--:|" + "--:|" * len(names),
    ]
    for r in rows:
        ours, best = r["seconds"]["tessera"], r["value"]["tessera"]
        cells = [f"{ours:.2f}" + ("" if r["proven"]["tessera"] else " *")]
        for n in names[1:]:
            worse = "" if r["proven"][n] else f" * {100 * (r['value'][n] / best - 1):+.1f} %"
            cells.append(f"{r['seconds'][n]:.2f} ({r['seconds'][n] / ours:.1f}){worse}")
        lines.append(f"| {r['layers']} | {r['costs']} | {r['cosine']} | {r['speedup']} | " + " | ".join(cells) + " |")
    lines.append("")
    for name in names[1:]:
        both = [r for r in rows if r["proven"][name]]
        ratio = statistics.geometric_mean(r["seconds"][name] / r["seconds"]["tessera"] for r in rows)
        words = f"* {name}: geometric mean of the ratios {ratio:.1f}, those stopped counted as they were stopped"
        if both:
            gaps = [r["value"][name] / r["value"]["tessera"] - 1 for r in both]
            words += f"; where it proved its optimum, that is {min(gaps):.1e} to {max(gaps):.1e} of tessera's above it"
        lines.append(words + ".")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
