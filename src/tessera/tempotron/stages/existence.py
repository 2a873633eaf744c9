"""Exact existence of solutions for small tasks of K bins and n weights, by mixed-integer programming."""

from pathlib import Path

import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.tempotron import tasks
from tessera.tempotron.existence import cover_probability, exists
from tessera.tempotron.params import ExistenceParams


class Params(Section):
    existence: ExistenceParams
    seed: int


def main(params: Params, k: int, n: int, counts: Path, run: Path) -> None:
    wanted = params.existence
    sizes = [p for problem in wanted.problems if (problem.k, problem.n) == (k, n) for p in problem.patterns]
    if not sizes:
        raise ValueError(f"existence.problems has no k = {k}, n = {n}")
    rows = []
    for p in progress.track(sizes, f"existence, K = {k}, n = {n}"):
        verdicts = []
        for replicate in range(wanted.runs):
            rng = generator(params.seed, "tempotron", "existence", k, n, p, replicate)
            verdicts.append(exists(tasks.bin_patterns(k, n, p, rng), tasks.labels(p, rng), wanted.max_nodes).verdict)
        count = {name: verdicts.count(name) for name in ("solvable", "unsolvable", "undecided")}
        rows.append({"k": k, "n": n, "patterns": p, "runs": wanted.runs, **count})
    table = pd.DataFrame(rows)
    files.write_parquet(counts, table)
    history = {"solvable": [(r["patterns"], r["solvable"] / r["runs"]) for r in rows]}
    if k == 1:
        history["cover"] = [(p, cover_probability(p, n)) for p in sizes]
    RunRecord(
        experiment="tempotron/existence",
        name=f"tempotron_existence/k={k}/n={n}",
        params={"k": k, "n": n, "runs": wanted.runs, "max_nodes": wanted.max_nodes},
        tags={"snakemake.rule": "tempotron_existence", "seed": str(params.seed)},
        metrics={"undecided": float(table["undecided"].sum())},
        history=history,
        figures=["reports/figures/tempotron/existence.svg"],
        note="Fraction of solvable tasks against the number of patterns.",
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
