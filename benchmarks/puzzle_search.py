"""Benchmark of the search: one optimum and a frontier, compared with the plain program given whole to CBC.

    python benchmarks/puzzle_search.py [--layers 80] [--variants 54] [--points 40] [--seconds 60]

The library is made: 6 attention by 9 FFN variants, costs as of a 70B model's blocks at batch 256 in fp8 (attention
354 ms, FFN 463 ms a layer, in proportion to the KV heads and channels kept), scores of random magnitude by layer. Peers
solve the same program with no reduction before and no tie-break after: PuLP with CBC and with HiGHS, and python-mip
with CBC if it is installed. One thread, all in the same run; a peer is stopped after --seconds. Times are CPU
seconds, which another process on the machine does not lengthen.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pulp

from tessera.common import files
from tessera.puzzle import search
from tessera.puzzle.search import budgets

ATTENTION = {"kv8": 1.0, "kv4": 0.7, "kv2": 0.55, "kv1": 0.47, "linear": 0.08, "no_op": 0.0}
FFN = {"ffn100": 1, "ffn87": 0.87, "ffn75": 0.75, "ffn50": 0.5, "ffn25": 0.25, "ffn20": 0.2, "ffn10": 0.1}
FFN |= {"linear": 0.05, "no_op": 0.0}
SCORE = "metrics.kl_div"


def random_library(layers: int, variants: int, seed: int, spread: float) -> dict:
    """A library; spread is the relative scatter of runtimes between layers, 0 for one cost table for all."""
    rng = np.random.default_rng(seed)
    pairs = [(a, f) for a in ATTENTION for f in FFN][:variants]
    library: dict = {}
    for i in range(layers):
        scale, a_scale, f_scale = 0.05 * np.exp(rng.normal()), rng.uniform(0.5, 2), rng.uniform(0.5, 2)
        library[f"layer_{i}"] = {}
        for a, f in pairs:
            kept_a, kept_f = ATTENTION[a], FFN[f]
            score = scale * (a_scale * (1 - kept_a) ** 1.5 + f_scale * (1 - kept_f) ** 2) * np.exp(0.2 * rng.normal())
            runtime = (354 * kept_a + 463 * kept_f) * np.exp(spread * rng.normal())
            is_parent = kept_a == kept_f == 1
            library[f"layer_{i}"][f"{a}+{f}"] = {
                "stats": {"runtime_ms": float(runtime), "memory_mib": 765 * kept_a + 672 * kept_f},
                "metrics": {"kl_div": 0.0 if is_parent else float(score)},
            }
    return library


def plain_pulp(library: dict, limit: float, solver: str, seconds: float) -> tuple[float, bool]:
    """The program as it stands in the paper, by PuLP: its value, and whether it was proven within the time."""
    problem = pulp.LpProblem("puzzle", pulp.LpMinimize)
    x = {(la, v): problem.add_variable(f"x_{i}_{j}", 0, 1, pulp.LpBinary)
         for i, (la, vs) in enumerate(library.items()) for j, v in enumerate(vs)}  # fmt: skip
    problem += pulp.lpSum(library[la][v]["metrics"]["kl_div"] * x[la, v] for la, v in x)
    for la, vs in library.items():
        problem += pulp.lpSum(x[la, v] for v in vs) == 1
    problem += pulp.lpSum(library[la][v]["stats"]["runtime_ms"] * x[la, v] for la, v in x) <= limit
    engine = pulp.HiGHS if solver == "highs" else pulp.PULP_CBC_CMD
    started = time.perf_counter()
    problem.solve(engine(msg=False, gapRel=0.0, gapAbs=0.0, threads=1, timeLimit=seconds))
    return float(pulp.value(problem.objective)), time.perf_counter() - started < seconds


def python_mip(library: dict, limit: float, seconds: float) -> tuple[float, bool]:
    """The same by python-mip with CBC."""
    import mip

    model = mip.Model(sense=mip.MINIMIZE, solver_name=mip.CBC)
    model.verbose, model.threads, model.max_mip_gap, model.max_mip_gap_abs = 0, 1, 0.0, 0.0
    x = {(la, v): model.add_var(var_type=mip.BINARY) for la, vs in library.items() for v in vs}
    model.objective = mip.xsum(library[la][v]["metrics"]["kl_div"] * x[la, v] for la, v in x)
    for la, vs in library.items():
        model += mip.xsum(x[la, v] for v in vs) == 1
    model += mip.xsum(library[la][v]["stats"]["runtime_ms"] * x[la, v] for la, v in x) <= limit
    status = model.optimize(max_seconds=seconds)
    return float(model.objective_value), status == mip.OptimizationStatus.OPTIMAL


def timed(function, *arguments):
    """The function's answer and the CPU seconds it took, those of child processes (PuLP's CBC) included."""
    before = os.times()
    answer = function(*arguments)
    after = os.times()
    return answer, sum(after[:4]) - sum(before[:4])


def peers(seconds: float) -> dict:
    peers = {
        "PuLP + CBC, plain": lambda lib, limit: plain_pulp(lib, limit, "cbc", seconds),
        "PuLP + HiGHS, plain": lambda lib, limit: plain_pulp(lib, limit, "highs", seconds),
    }
    try:
        import mip
    except ImportError:
        print("python-mip is not installed: left out")
    else:
        peers[f"python-mip {mip.__version__} + CBC, plain"] = lambda lib, limit: python_mip(lib, limit, seconds)
    return peers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("layers", 80), ("variants", 54), ("points", 40), ("seconds", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    options = parser.parse_args()
    # HiGHS and PuLP load at the first solve; that is not the search's time.
    search.solve(random_library(2, options.variants, 0, 0.0), SCORE)
    rows = []
    for case, spread in (("one cost table for all layers", 0.0), ("costs differ by layer", 0.05)):
        library = random_library(options.layers, options.variants, 0, spread)
        for speedup in (1.1, 1.3, 2.17):
            limit = budgets.runtime_for_speedup(library, speedup, "kv8+ffn100")
            row: dict = {"case": case, "speedup": speedup, "budget_ms": limit, "seconds": {}, "proven": {}, "value": {}}
            answer, row["seconds"]["tessera"] = timed(search.solve, library, SCORE, {budgets.RUNTIME: limit})
            row["value"]["tessera"], row["proven"]["tessera"] = answer.value, answer.status == "optimal"
            for name, peer in peers(options.seconds).items():
                (row["value"][name], row["proven"][name]), row["seconds"][name] = timed(peer, library, limit)
            rows.append(row)
            print(json.dumps(row), flush=True)
        speedups = np.linspace(1.05, 3, options.points)
        limits = [budgets.runtime_for_speedup(library, float(s), "kv8+ffn100") for s in speedups]
        points, seconds = timed(search.frontier, library, SCORE, budgets.RUNTIME, limits)
        assert all(p.status == "optimal" for p in points)
        rows.append({"case": case, "points": len(points), "frontier_seconds": seconds})
        print(json.dumps(rows[-1]), flush=True)
    report = {"options": {k: v for k, v in vars(options).items() if k != "out"}, "machine": machine(), "rows": rows}
    files.write_json(options.out.with_suffix(".json"), report)
    files.write_text(options.out.with_suffix(".md"), markdown(report))


def machine() -> dict:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    versions = {"python": platform.python_version(), "pulp": pulp.__version__}
    return {"cpu": name or platform.processor(), "threads": 1, "date": time.strftime("%Y-%m-%d")} | versions


def markdown(report: dict) -> str:
    """The report as a table; ratios are of the peer's time to ours in this run."""
    o, m = report["options"], report["machine"]
    solves = [r for r in report["rows"] if "seconds" in r]
    names = list(solves[0]["seconds"])
    lines = [
        f"# Search: {o['layers']} layers x {o['variants']} variants, proven optimal",
        "",
        f"{m['cpu']}, 1 thread, Python {m['python']}, PuLP {m['pulp']}, {m['date']}. CPU seconds; in brackets the",
        f"ratio to tessera in the same run; * not proven optimal within {o['seconds']} s. tessera's time includes the",
        "linear relaxation, the check in exact arithmetic and the tie-break; the peers' is the bare program.",
        "Command: `python benchmarks/puzzle_search.py`.",
        "",
        "| costs | speed-up | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for r in solves:
        ours = r["seconds"]["tessera"]
        cells = [f"{r['seconds'][n]:.2f} ({r['seconds'][n] / ours:.1f}){'' if r['proven'][n] else ' *'}" for n in names]
        cells[0] = f"{ours:.2f}"
        lines.append(f"| {r['case']} | {r['speedup']} | " + " | ".join(cells) + " |")
    lines.append("")
    for name in names[1:]:
        ratio = statistics.geometric_mean(r["seconds"][name] / r["seconds"]["tessera"] for r in solves)
        gaps = [r["value"][name] - r["value"]["tessera"] for r in solves]
        lines.append(f"* {name}: geometric mean of the ratios {ratio:.1f}; its optimum less tessera's is between")
        lines.append(f"  {min(gaps):.1e} and {max(gaps):.1e}.")
    for r in report["rows"]:
        if "frontier_seconds" in r:
            lines.append(
                f"* Frontier, {r['case']}: {r['points']} proven points in {r['frontier_seconds']:.1f} CPU seconds."
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
