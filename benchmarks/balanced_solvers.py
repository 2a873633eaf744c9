"""Time, memory and accuracy of the margin solvers and of general-purpose ones, on the same tasks in the same run.

    python benchmarks/balanced_solvers.py --sizes 500x500 1000x1500 3000x900 3000x3000 --limit 120

Every measurement is a separate process with one BLAS thread: it builds the task, solves it, and reports the CPU time
of the solution alone and the peak memory of the process. Writes balanced_solvers.json and .md next to this
file. Peers are optional: pip install piqp clarabel scs cvxopt.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
NORM = 1.0
#: Entries of X up to which a solver is tried; beyond, these take many minutes and as many gigabytes.
LARGEST = {"clarabel": 2_800_000, "scs": 2_800_000, "cvxopt": 2_800_000}
#: CPU seconds beyond which a measurement is not repeated.
ONCE = 15.0
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def task(n, count):
    """Exponential excitation, gamma inhibition, one plus label in ten: X (P, N), y (P,), signs (N,)."""
    import numpy as np

    r = np.random.default_rng(0)
    n_exc = round(0.8 * n)
    X = np.hstack([r.exponential(size=(count, n_exc)), np.sqrt(2) * r.gamma(2.0, size=(count, n - n_exc))])
    y = np.where(r.random(count) < 0.1, 1.0, -1.0)
    return X, y, np.where(np.arange(n) < n_exc, 1.0, -1.0)


def tessera(X, y, signs, objective):
    """(kappa, certified relative gap)."""
    from tessera.balanced import solvers

    solution = solvers.max_kappa_in(X, y, signs) if objective == "in" else solvers.max_kappa_out(X, y, signs, NORM)
    return solution.kappa, solution.certificate.gap


def margin_rows(X, y, signs):
    """Rows of y (w.x - theta) in (g w, theta)."""
    import numpy as np

    return np.hstack([y[:, None] * X * signs, -y[:, None]])


def piqp(X, y, signs, objective):
    """Dense QP; it has no cone for the norm."""
    import numpy as np
    import piqp as peer

    count, n = X.shape
    solver = peer.DenseSolver()
    solver.settings.verbose = False
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-8
    quadratic = np.diag(np.r_[np.ones(n), 0.0])
    solver.setup(
        quadratic, np.zeros(n + 1), None, None, margin_rows(X, y, signs), np.ones(count), None, np.zeros(n + 1), None
    )
    if solver.solve() != peer.PIQP_SOLVED:
        raise ArithmeticError(str(solver.result.info.status))
    return 1 / np.linalg.norm(solver.result.x[:n]), None


def cone_program(X, y, signs, objective):
    """min q.z + z.Pz/2 with b - A z in (nonnegative, then second-order cone): (P diagonal, q, A, b, cone size)."""
    import numpy as np

    count, n = X.shape
    if objective == "in":
        rows = np.vstack([-margin_rows(X, y, signs), -np.eye(n + 1)])
        return np.r_[np.ones(n), 0.0], np.zeros(n + 1), rows, np.r_[-np.ones(count), np.zeros(n + 1)], 0
    margin = np.hstack([-y[:, None] * X * signs, np.ones((count, 1))])
    cone = np.vstack([np.zeros((1, n + 1)), np.eye(n, n + 1)])
    rows = np.vstack([margin, -np.eye(n, n + 1), -cone])
    return np.zeros(n + 1), np.r_[np.zeros(n), -1.0], rows, np.r_[-y, np.zeros(n), NORM, np.zeros(n)], n + 1


def value(z, objective):
    import numpy as np

    return float(1 / np.linalg.norm(z[:-1]) if objective == "in" else z[-1])


def clarabel(X, y, signs, objective):
    import clarabel as peer
    from scipy import sparse

    diagonal, q, rows, b, cone = cone_program(X, y, signs, objective)
    cones = [peer.NonnegativeConeT(len(b) - cone)] + ([peer.SecondOrderConeT(cone)] if cone else [])
    settings = peer.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    solution = peer.DefaultSolver(
        sparse.diags(diagonal, format="csc"), q, sparse.csc_matrix(rows), b, cones, settings
    ).solve()
    if str(solution.status) not in ("Solved", "AlmostSolved"):
        raise ArithmeticError(str(solution.status))
    return value(solution.x, objective), None


def scs(X, y, signs, objective):
    import scs as peer
    from scipy import sparse

    diagonal, q, rows, b, cone = cone_program(X, y, signs, objective)
    data = {"P": sparse.diags(diagonal, format="csc"), "A": sparse.csc_matrix(rows), "b": b, "c": q}
    cones = {"l": len(b) - cone} | ({"q": [cone]} if cone else {})
    solution = peer.SCS(data, cones, verbose=False, eps_abs=1e-6, eps_rel=1e-6, max_iters=100_000).solve()
    if solution["info"]["status"] != "solved":
        raise ArithmeticError(solution["info"]["status"])
    return value(solution["x"], objective), None


def cvxopt(X, y, signs, objective):
    import numpy as np
    from cvxopt import matrix, solvers

    diagonal, q, rows, b, cone = cone_program(X, y, signs, objective)
    dims = {"l": len(b) - cone, "q": [cone] if cone else [], "s": []}
    solvers.options["show_progress"] = False
    if objective == "in":
        solution = solvers.coneqp(matrix(np.diag(diagonal)), matrix(q), matrix(rows), matrix(b), dims)
    else:
        solution = solvers.conelp(matrix(q), matrix(rows), matrix(b), dims)
    if solution["status"] != "optimal":
        raise ArithmeticError(solution["status"])
    return value(np.array(solution["x"]).ravel(), objective), None


SOLVERS = {"tessera": tessera, "piqp": piqp, "clarabel": clarabel, "scs": scs, "cvxopt": cvxopt}


def measure(name, objective, size):
    """Solve once in this process and print the result as JSON."""
    n, count = map(int, size.split("x"))
    X, y, signs = task(n, count)
    SOLVERS[name](*(a for a in task(20, 20)), objective)  # imports and compilation are not part of the time
    start = time.process_time()  # with one thread the same as the time that passes, but blind to what else runs
    kappa, gap = SOLVERS[name](X, y, signs, objective)
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"kappa": float(kappa), "gap": gap, "seconds": seconds, "memory_mib": memory}))


def entries(size):
    """N P of a size NxP."""
    n, count = map(int, size.split("x"))
    return n * count


def run(name, objective, size, limit):
    """One measurement in a separate process."""
    command = [sys.executable, __file__, "--one", name, objective, size]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=os.environ | THREADS)
    except subprocess.TimeoutExpired:
        return {"failed": f"over {limit} s"}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout)


def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def processor():
    """Name of the CPU, as reported by Linux."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return names[0] if names else platform.machine()


def table(rows, sizes):
    """Markdown: seconds by solver and size, then memory and accuracy."""
    parts = []
    for objective in ("in", "out"):
        parts.append(f"\n## max kappa_{objective}\n")
        parts.append("| Solver | " + " | ".join(f"N x P = {s}" for s in sizes) + " |")
        parts.append("|---" * (len(sizes) + 1) + "|")
        for name in SOLVERS:
            cells = []
            for size in sizes:
                row = next(
                    (r for r in rows if (r["solver"], r["objective"], r["size"]) == (name, objective, size)), None
                )
                if row is None:
                    cells.append("-")
                elif "failed" in row:
                    cells.append(row["failed"][:40])
                else:
                    gap = "" if row["gap"] is None else f", gap {row['gap']:.0e}"
                    cells.append(f"{row['seconds']:.3g} s, {row['memory_mib']:.0f} MiB, {row['kappa']:.8g}{gap}")
            parts.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["500x500", "1000x1500", "3000x900"], metavar="NxP")
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=list(SOLVERS))
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a measurement is given up")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--add", action="store_true", help="keep earlier measurements of other solvers")
    parser.add_argument("--one", nargs=3, metavar=("SOLVER", "OBJECTIVE", "NxP"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(*options.one)
        return
    measured = {}
    for size in options.sizes:
        for objective in ("in", "out"):
            # Solvers take turns, so that other load on the machine affects all of them.
            for _ in range(options.repeats):
                for name in options.solvers:
                    runs = measured.setdefault((name, objective, size), [])
                    done = runs and ("failed" in runs[-1] or runs[-1]["seconds"] > ONCE)
                    if (name, objective) == ("piqp", "out") or done or entries(size) > LARGEST.get(name, entries(size)):
                        continue
                    runs.append(run(name, objective, size, options.limit))
                    print(name, objective, size, runs[-1], file=sys.stderr, flush=True)
    rows = []
    for (name, objective, size), runs in measured.items():
        good = [r for r in runs if "failed" not in r]
        if runs:
            median = statistics.median(r["seconds"] for r in good) if good else None
            row = (good[0] | {"seconds": median, "all_seconds": [r["seconds"] for r in good]}) if good else runs[0]
            rows.append({"solver": name, "objective": objective, "size": size} | row)
    command = "python benchmarks/balanced_solvers.py " + " ".join(sys.argv[1:])
    commands, sizes = [command], list(options.sizes)
    if options.add:
        earlier = json.loads((HERE / "balanced_solvers.json").read_text())
        rows += [row for row in earlier["rows"] if row["solver"] not in options.solvers]
        commands = [*earlier["commands"], command]
        sizes = list(dict.fromkeys([*(row["size"] for row in earlier["rows"]), *sizes]))
    machine = {"cpu": processor(), "python": platform.python_version(), "date": time.strftime("%Y-%m-%d")}
    versions = {name: version(name) for name in ("numpy", "scipy", *SOLVERS)}
    result = {"machine": machine, "versions": versions, "commands": commands, "rows": rows}
    (HERE / "balanced_solvers.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    lines = [
        "# Margin solvers\n",
        f"{machine['cpu']}, one BLAS thread, Python {machine['python']}, {machine['date']}.",
        f"Median of the runs (--repeats, 3 by default), or the only run if it took more than {ONCE:g} s;",
        "CPU seconds of the solution, peak memory of the process with its data, and the margin. A measurement is",
        "given up after --limit seconds, whatever the load of the machine; PIQP has no cone for the norm.\n",
        "".join(f"    {line}\n" for line in commands),
        "Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items() if v) + ".",
        table(rows, sizes),
    ]
    (HERE / "balanced_solvers.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
