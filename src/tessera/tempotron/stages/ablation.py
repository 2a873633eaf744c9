"""Momentum, learning rate and margin: what they do to the learning rule, everything else equal."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron.findable import Task
from tessera.tempotron.learn import Tempotron
from tessera.tempotron.params import AblationParams, NeuronParams


class Params(Section):
    neuron: NeuronParams
    ablation: AblationParams
    seed: int


def main(params: Params, runs: Path, run: Path) -> None:
    wanted, kernel = params.ablation, DoubleExponential(**params.neuron.model_dump())
    best, middle = max(wanted.momenta), sorted(wanted.rates)[len(wanted.rates) // 2]
    settings = {(m, r, 0.0) for m, r in itertools.product(wanted.momenta, wanted.rates)}
    settings |= {(best, middle, margin) for margin in wanted.margins}
    rows = []
    todo = list(itertools.product(sorted(settings), range(wanted.replicates)))
    for (momentum, rate, margin), replicate in progress.track(todo, "ablation"):
        rng = generator(params.seed, "tempotron", "ablation", replicate)  # the same tasks for every setting
        spikes, labels = Task("single", wanted.afferents, wanted.k, wanted.load).draw(kernel, rng)
        model = Tempotron(
            **params.neuron.model_dump(), learning_rate=rate, momentum=momentum, margin=margin,
            max_epochs=wanted.max_epochs, init_scale=1e-2, random_state=rng,
        ).fit(spikes, labels)  # fmt: skip
        noisy = _jittered(spikes, wanted.jitter, generator(params.seed, "tempotron", "jitter", replicate))
        rows.append(
            {"momentum": momentum, "rate": rate, "margin": margin, "replicate": replicate, "solved": model.converged_,
             "epochs": model.n_epochs_, "left": int(model.history_[-1]),
             "jittered_accuracy": float((model.predict(noisy) == labels).mean())}
        )  # fmt: skip
    table = pd.DataFrame(rows)
    files.write_parquet(runs, table)
    plain = table[table["margin"] == 0]
    metrics = {f"solved_momentum_{m}": float(g["solved"].mean()) for m, g in plain.groupby("momentum")}
    compared = table[(table["momentum"] == best) & (table["rate"] == middle)]
    metrics |= {f"jittered_margin_{m}": float(g["jittered_accuracy"].mean()) for m, g in compared.groupby("margin")}
    RunRecord(
        experiment="tempotron/ablation",
        name="tempotron_ablation",
        params=wanted.model_dump(mode="json"),
        tags={"snakemake.rule": "tempotron_ablation", "seed": str(params.seed)},
        metrics=metrics,
        figures=["reports/figures/tempotron/ablation.svg"],
        note="Solved fractions by momentum, over all rates, without margin; accuracies under jitter by margin.",
    ).write(run)


def _jittered(spikes: SpikeBatch, sd: float, rng: np.random.Generator) -> SpikeBatch:
    moved = np.clip(spikes.times + rng.normal(scale=sd, size=len(spikes.times)), 0, spikes.duration)
    pairs = []
    for p in range(len(spikes)):
        part = slice(spikes.offsets[p], spikes.offsets[p + 1])
        order = np.argsort(moved[part], kind="stable")
        pairs.append((moved[part][order], spikes.neurons[part][order]))
    return SpikeBatch.from_patterns(pairs, spikes.n_neurons, spikes.duration)


if __name__ == "__main__":
    stage.run(main)
