"""What the learning rule solves at one K and size: random tasks over a range of loads."""

from pathlib import Path

import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.tempotron.findable import Task, attempt, half_crossing
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.params import FindableParams, NeuronParams


class Params(Section):
    neuron: NeuronParams
    findable: FindableParams
    seed: int


def main(params: Params, k: float, n: int, runs: Path, run: Path) -> None:
    wanted = params.findable
    model = Tempotron(
        **params.neuron.model_dump(),
        learning_rate=wanted.rate / n,
        momentum=wanted.momentum,
        max_epochs=wanted.max_epochs,
        restarts=wanted.restarts,
        init_scale=wanted.init_scale,
    )
    rows = []
    grid = [(load, replicate) for load in wanted.loads for replicate in range(wanted.replicates)]
    for load, replicate in progress.track(grid, f"K = {k}, N = {n}"):
        stream = generator(params.seed, "tempotron", "findable", round(1000 * k), n, round(1000 * load), replicate)
        fitted = attempt(Task(wanted.ensemble, n, k, load), model, stream)
        rows.append(
            {"k": k, "n": n, "load": load, "replicate": replicate, "solved": fitted.converged_,
             "epochs": fitted.n_epochs_, "restart": fitted.restart_, "left": int(fitted.history_[-1]),
             "rate": fitted.learning_rate_, "momentum": wanted.momentum, "max_epochs": wanted.max_epochs}
        )  # fmt: skip
    table = pd.DataFrame(rows)
    files.write_parquet(runs, table)
    rng = generator(params.seed, "tempotron", "findable", "bootstrap", round(1000 * k), n)
    crossing = half_crossing(table["load"].to_numpy(), table["solved"].to_numpy(), rng, wanted.bootstrap)
    found = {"findable": crossing.load, "findable_low": crossing.low, "findable_high": crossing.high}
    metrics = {name: value for name, value in found.items() if value is not None}
    if table["solved"].any():
        metrics["median_epochs_solved"] = float(table["epochs"][table["solved"]].median())
    fractions = table.groupby("load")["solved"].mean()
    RunRecord(
        experiment="tempotron/findable",
        name=f"tempotron_findable/k={k:g}/n={n}",
        params=wanted.model_dump(mode="json") | {"k": k, "n": n},
        tags={"snakemake.rule": "tempotron_findable", "seed": str(params.seed)},
        metrics=metrics,
        figures=["reports/figures/tempotron/capacity.svg"],
        history={"solved_by_load_percent": [(round(100 * load), float(f)) for load, f in fractions.items()]},
        note="Solved fraction against 100 x load. A trained result is a lower bound on capacity; a crossing that the "
        "loads do not bracket is left out.",
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
