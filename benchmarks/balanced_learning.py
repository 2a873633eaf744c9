"""CPU time of a learning run at the paper's size, compared with the rule written in NumPy.

    python benchmarks/balanced_learning.py

N = 3000 afferents, P = 900 patterns, 10 000 cycles, under the nominal noise and without output noise. The NumPy form
makes the same steps, one vectorised line each; it runs a few cycles from the learned weights, where few patterns are
errors, and its time is extrapolated to the whole run at this rate, its best. One thread.
Writes balanced_learning.json and .md next to this file.
"""

import argparse
import os
import platform
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np

from tessera.balanced import learn, samples, solvers
from tessera.common import files

N, P, CYCLES = 3000, 900, 10_000
NOISES = {"nominal": (0.1, 0.15), "none": (0.1, 0.0)}
HERE = Path(__file__).parent


def numpy_rule(task, w, rule, cycles, rng):
    """The rule of tessera.balanced.learn, in NumPy."""
    X, y, signs = task
    for _ in range(cycles):
        order, noise = rng.permutation(len(y)), rng.standard_normal(len(y))
        for k, mu in enumerate(order):
            h = w @ X[mu] - 1 + np.sqrt(w @ w * rule.sigma_in**2 + rule.sigma_out**2) * noise[k]
            w *= 1 - rule.decay
            if y[mu] * h < 0:
                w += rule.rate * y[mu] * X[mu]
                w[signs * w <= 0] = 0


def timed(function, *arguments):
    """(answer, CPU seconds)."""
    before = time.process_time()
    answer = function(*arguments)
    return answer, time.process_time() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--numpy-cycles", type=int, default=50)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    task = samples.binary(rng, N, P, 0.8, 0.5)
    start = learn.initial_weights(rng, task.signs)
    rows = []
    for noise, (sigma_in, sigma_out) in NOISES.items():
        rule = learn.Rule(0.1 / N, 5e-7, sigma_in, sigma_out)
        learn.train(*task, start, rule, [1], np.random.default_rng(1))  # compilation is not part of the time
        (kept, _), seconds = timed(learn.train, *task, start, rule, [options.cycles], np.random.default_rng(1))
        w = kept[-1]
        _, plain = timed(numpy_rule, task, w.copy(), rule, options.numpy_cycles, np.random.default_rng(2))
        plain *= options.cycles / options.numpy_cycles
        row = {"noise": noise, "seconds": seconds, "numpy_seconds": plain, "ratio": plain / seconds}
        row |= {"error": float(np.mean(task.y * (task.X @ w - 1) <= 0)), "norm": float(np.linalg.norm(w))}
        row |= {"imbalance": solvers.imbalance(w, task.X), "kappa_out": solvers.margins(w, task.X, task.y)[1]}
        rows.append(row)
        print(row, flush=True)
    cpu = [x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
    machine = {"cpu": cpu[0] if cpu else platform.machine(), "python": platform.python_version()}
    machine |= {"numpy": np.__version__, "date": time.strftime("%Y-%m-%d"), "cycles": options.cycles}
    files.write_json(HERE / "balanced_learning.json", {"machine": machine, "rows": rows})
    lines = [
        f"# Learning: N = {N}, P = {P}, {options.cycles} cycles",
        "",
        f"{machine['cpu']}, one thread, Python {machine['python']}, NumPy {machine['numpy']}, {machine['date']}. CPU "
        f"seconds per run; those of NumPy extrapolated from {options.numpy_cycles} cycles at the end of it. Command: "
        "`python benchmarks/balanced_learning.py`.",
        "",
        "| noise | tessera, s | NumPy, s | ratio | errors | imbalance | norm | output margin |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['noise']} | {r['seconds']:.1f} | {r['numpy_seconds']:.0f} | {r['ratio']:.0f} | {r['error']:.3f} | "
        f"{r['imbalance']:.3f} | {r['norm']:.2f} | {r['kappa_out']:.3f} |"
        for r in rows
    ]
    files.write_text(HERE / "balanced_learning.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
