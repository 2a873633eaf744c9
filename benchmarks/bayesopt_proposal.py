"""CPU seconds of a proposal against the number of observations.

    python benchmarks/bayesopt_proposal.py [--repeats 3]

Six variables, Hartmann's function at uniform points, two points pending, one thread. Hyper-parameters are fitted again
from a warm start, as in a study. CPU seconds are of the process, which other work on the machine hardly lengthens; the
first proposal, which loads libraries, is not counted. Goals: 0.3 s at 60 observations, 2 s at 1,000 and 10,000.
"""

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from tessera.bayesopt import functions
from tessera.bayesopt.propose import Data, propose
from tessera.bayesopt.settings import Settings
from tessera.common import files

GOALS = {60: 0.3, 1000: 2.0, 10000: 2.0}
CASES = {
    "bop, evidence": Settings(),
    "fubar": Settings(method="fubar", edges="hard"),
    "thompson": Settings(method="thompson", edges="none"),
    "bop, slice sampling": Settings(inference="slice"),
}


def seconds(settings: Settings, count: int, repeats: int) -> list[float]:
    """CPU seconds of some proposals after count observations."""
    function = functions.get("hartmann6")
    X = np.random.default_rng(count).random((count, 6))
    y = np.array([function(function.space.from_cube(row)) for row in X])
    data = Data(X, y, np.ones(count, dtype=bool))
    pending = np.random.default_rng(1).random((2, 6))
    warm = propose(function.space, settings, data, pending, 0, 0).theta
    times = []
    for i in range(repeats):
        begun = time.process_time()
        propose(function.space, settings, data, pending, 0, 1 + i, warm)
        times.append(time.process_time() - begun)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    options = parser.parse_args()
    rows = []
    for count in GOALS:
        for name, settings in CASES.items():
            times = seconds(settings, count, options.repeats)
            rows.append({"observations": count, "case": name, "cpu_s": times})
            print(count, name, times, flush=True)
    machine = f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"
    files.write_json(options.out.with_suffix(".json"), {"machine": machine, "goals_s": GOALS, "rows": rows})
    lines = [
        "# A proposal: CPU seconds by observations",
        "",
        f"{machine}, one thread, six variables, two pending points; median of {options.repeats} proposals,",
        "least and most in brackets. Command: `python benchmarks/bayesopt_proposal.py`.",
        "",
        "| observations | goal | " + " | ".join(CASES) + " |",
        "|---:" * (2 + len(CASES)) + "|",
    ]
    for count, goal in GOALS.items():
        cells = [row["cpu_s"] for row in rows if row["observations"] == count]
        texts = [f"{statistics.median(one):.2f} ({min(one):.2f}-{max(one):.2f})" for one in cells]
        lines.append(f"| {count:,} | {goal} | " + " | ".join(texts) + " |")
    files.write_text(options.out.with_suffix(".md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
