"""Trained weights in Brian2: the same potential on its grid, and the same decisions."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import brian, tasks
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.neuron import max_potential, voltage
from tessera.tempotron.params import BrianParams, NeuronParams


class Params(Section):
    neuron: NeuronParams
    brian: BrianParams
    seed: int


def main(params: Params, trace: Path, run: Path) -> None:
    wanted, kernel = params.brian, DoubleExponential(**params.neuron.model_dump())
    rng = generator(params.seed, "tempotron", "brian")
    duration = np.floor(tasks.duration(wanted.k, kernel) / wanted.dt) * wanted.dt
    drawn = tasks.spike_patterns("single", wanted.afferents, wanted.patterns, duration, rng)
    spikes, labels = brian.on_grid(drawn, wanted.dt), tasks.labels(wanted.patterns, rng)
    model = Tempotron(**params.neuron.model_dump(), max_epochs=wanted.max_epochs, random_state=rng).fit(spikes, labels)
    exact = max_potential(model.coef_, spikes, kernel)
    bound = brian.grid_error(model.coef_, spikes, kernel, wanted.dt)
    certain = np.abs(exact.v_max - 1) > bound
    metrics = {"patterns": float(len(spikes)), "certain": float(certain.sum()), "disagree_certain": 0.0}
    for device in wanted.devices:
        found = brian.forward(model.coef_, spikes, kernel, 1.0, wanted.dt, device)
        same = found.fires == (exact.v_max >= 1)
        ours = np.array([voltage(model.coef_, spikes, p, found.times, kernel) for p in range(len(spikes))])
        metrics[f"agree_{device}"] = float(same.sum())
        metrics["disagree_certain"] += float((~same[certain]).sum())
        metrics[f"potential_error_{device}"] = float(np.abs(ours - found.v).max())
        metrics[f"peak_below_exact_{device}"] = float((exact.v_max - found.v.max(axis=1)).max())
    shown = int(np.argmax(np.where(labels > 0, exact.v_max, -1)))
    files.write_parquet(
        trace,
        pd.DataFrame({"time": found.times, "brian": found.v[shown], "exact": ours[shown]}).assign(
            v_max=exact.v_max[shown], t_max=exact.t_max[shown]
        ),
    )
    RunRecord(
        experiment="tempotron/brian",
        name="tempotron_brian",
        params=wanted.model_dump(mode="json"),
        tags={"snakemake.rule": "tempotron_brian", "seed": str(params.seed)},
        metrics=metrics,
        figures=["reports/figures/tempotron/trace.svg"],
        note="Certain patterns are those whose exact maximum is farther from the threshold than the grid's error.",
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
