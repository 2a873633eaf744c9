"""Capacity of the tempotron by replica theory, and the load at an overlap of typical solutions."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import continuous as continuous_theory
from tessera.tempotron import solutions, theory
from tessera.tempotron.params import NeuronParams, TheoryParams

#: Overlaps of the planted curves.
OVERLAPS = np.array([0.02, 0.05, *(0.05 * np.arange(2, 20))]).round(3)


class Params(Section):
    neuron: NeuronParams
    theory: TheoryParams
    seed: int


def main(params: Params, capacity: Path, continuous: Path, planted: Path, run: Path) -> None:
    wanted, kernel = params.theory, DoubleExponential(**params.neuron.model_dump())
    bins = pd.DataFrame([_bins(k, wanted.points, params.seed) for k in progress.track(wanted.ks, "capacity of bins")])
    files.write_parquet(capacity, bins)
    rows = []
    for k in progress.track(wanted.continuous_ks, "capacity in continuous time"):
        rng = generator(params.seed, "tempotron", "continuous", round(1000 * k))
        found = continuous_theory.zero_overlap(k, wanted.traces, rng, kernel, wanted.dt)
        rows.append({"k": k, "zero_overlap": found.alpha, "error": found.error, "theta": found.theta, "x": found.x})
    process = pd.DataFrame(rows, columns=["k", "zero_overlap", "error", "theta", "x"])
    files.write_parquet(continuous, process)
    curves = [
        pd.DataFrame({"k": k, "q": OVERLAPS, "load": solutions.planted_load(OVERLAPS, k)})
        for k in progress.track(wanted.planted_ks, "overlap of typical solutions")
    ]
    files.write_parquet(planted, pd.concat(curves) if curves else pd.DataFrame({"k": [], "q": [], "load": []}))
    metrics = {
        f"{name}_k_{row['k']:g}": float(row[name])
        for row in bins.to_dict("records")
        for name in ("one_step", "zero_overlap", "replica_symmetric")
    }
    RunRecord(
        experiment="tempotron/replica",
        name="tempotron_replica",
        params=wanted.model_dump(mode="json"),
        tags={"snakemake.rule": "tempotron_replica", "seed": str(params.seed)},
        metrics=metrics | {f"continuous_k_{row.k:g}": float(row.zero_overlap) for row in process.itertuples()},
        figures=["reports/figures/tempotron/capacity.svg", "reports/figures/tempotron/planted.svg"],
        note="Capacities of K independent bins and, continuous, of the potential without overlap of clusters. One-step "
        "breaking is a prediction, not a bound: its stability is unchecked.",
    ).write(run)


def _bins(k: int, points: int, seed: int) -> dict[str, float | None]:
    """One row; the perceptron, K = 1, is replica symmetric."""
    symmetric = theory.replica_symmetric(k)
    row: dict[str, float | None] = {
        "k": k,
        "replica_symmetric": symmetric.alpha,
        "leading": theory.leading_order(k) if k > 1 else math.nan,
    }
    if k == 1:
        return row | {"one_step": symmetric.alpha, "zero_overlap": symmetric.alpha, "theta": symmetric.theta,
                      "x": math.nan, "q0": math.nan}  # fmt: skip
    one = theory.one_step(k, points, seed)
    return row | {"one_step": one.alpha, "zero_overlap": theory.zero_overlap(k).alpha, "theta": one.theta,
                  "x": one.x, "q0": one.q0}  # fmt: skip


if __name__ == "__main__":
    stage.run(main)
