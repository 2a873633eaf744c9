"""Margins, feasible fraction and free-running scores at one load: hard and soft margin beside the perceptron."""

from pathlib import Path

import pandas as pd

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, baselines
from tessera.tsvm.neuron import match, simulate
from tessera.tsvm.params import LoadParams, NeuronParams
from tessera.tsvm.tasks import poisson_problem


class Params(Section):
    neuron: NeuronParams
    load: LoadParams
    seed: int


def main(params: Params, targets: int, problems: Path, run: Path) -> None:
    wanted, neuron = params.load, params.neuron
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    rows = []
    for replicate in range(wanted.replicates):
        rng = generator(params.seed, "tsvm", "load", targets, replicate)
        spikes, desired = poisson_problem(rng, wanted.afferents, targets)
        hard = TemporalSVM(**neuron.model_dump()).fit(spikes, desired)
        low, up = hard.margin_ or (0.0, 0.0)
        soft = TemporalSVM(**neuron.model_dump(), C=wanted.penalty).fit(spikes, desired)
        learnt = baselines.perceptron(spikes, desired, psp, max_steps=wanted.perceptron_steps)
        shown = simulate(learnt.w, 1.0, spikes, psp)[0]
        rows.append(
            {
                "targets": targets,
                "load": targets / wanted.afferents,
                "replicate": replicate,
                "status": hard.status_,
                "low": low,
                "up": up,
                "cuts": hard.history_[-1].cuts,
                "soft_f1": soft.score(spikes, desired),
                "perceptron_f1": match(shown, desired).f1,
                "perceptron_converged": learnt.converged,
            }
        )
    table = pd.DataFrame(rows)
    files.write_parquet(problems, table)
    feasible = table["status"].isin(["certified", "feasible"])
    metrics = {"load": targets / wanted.afferents, "feasible": float(feasible.mean())}
    metrics |= {f"status_{name}": float((table["status"] == name).mean()) for name in STATUSES}
    metrics |= {f"{name}_f1": float(table[f"{name}_f1"].mean()) for name in ("soft", "perceptron")}
    if feasible.any():
        metrics["margin_median"] = float(table.loc[feasible, "low"].median())
    RunRecord(
        experiment="tsvm/load",
        name=f"tsvm_load/targets={targets}",
        params=wanted.model_dump(mode="json") | neuron.model_dump() | {"targets": targets},
        tags={"snakemake.rule": "tsvm_load", "seed": str(params.seed)},
        metrics=metrics,
        figures=["reports/figures/tsvm/load.svg"],
        note="Feasible: weights with a margin were found. F1 is of the free neuron, without noise.",
    ).write(run)


#: What a fit can end with.
STATUSES = ("certified", "feasible", "infeasible", "undecided")


if __name__ == "__main__":
    stage.run(main)
