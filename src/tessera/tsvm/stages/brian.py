"""Trained weights in Brian2: the same spikes up to a time step, and the same under the same membrane noise."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, brian, robustness
from tessera.tsvm.neuron import match
from tessera.tsvm.params import BrianParams, NeuronParams, ProblemsParams
from tessera.tsvm.tasks import poisson_problem

#: ms around the crossing within which a spike of the noisy neuron in Brian2 is the same as ours, beside its step.
SAME = 0.05


class Params(Section):
    neuron: NeuronParams
    problems: ProblemsParams
    brian: BrianParams
    seed: int


def main(params: Params, delays: Path, run: Path) -> None:
    wanted, neuron = params.brian, params.neuron
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    task = params.problems.problems[params.problems.shown]
    drawn, targets = poisson_problem(np.random.default_rng(task.seed), task.afferents, task.targets)
    # Inputs are on the coarsest grid before training; finer steps divide it.
    spikes = brian.on_grid(drawn, max(wanted.steps))
    model = TemporalSVM(**neuron.model_dump()).fit(spikes, targets)
    w = model.unit_weights()
    rows, metrics = [], {"targets": float(len(targets))}
    for dt in wanted.steps:
        (found,) = brian.free_run(w, 1.0, spikes, psp, dt)
        # Matched within ±0.1 ms and a step.
        hits = match(found, targets, dt + 0.1)
        rows += [{"step": dt, "delay": delay} for delay in hits.shifts]
        metrics |= {
            f"missed_{dt:g}": float(len(targets) - hits.hits),
            f"extra_{dt:g}": float(len(found) - hits.hits),
            f"delay_low_{dt:g}": float(hits.shifts.min(initial=np.inf) / dt) if hits.hits else -1.0,
            f"delay_high_{dt:g}": float(hits.shifts.max(initial=-np.inf) / dt) if hits.hits else -1.0,
        }
    files.write_parquet(delays, pd.DataFrame(rows, columns=["step", "delay"]))
    rng = generator(params.seed, "tsvm", "brian")
    noise = robustness.draws("membrane", spikes, wanted.draws, rng)
    kicks = wanted.membrane * robustness.kick_size(psp) * noise
    dt = min(wanted.steps)
    theirs = brian.free_run(w, 1.0, spikes, psp, dt, kicks, robustness.NOISE_STEP)
    ours = robustness.spikes_under(w, 1.0, spikes, psp, "membrane", wanted.membrane, noise)
    counts = np.array([(match(a, b, dt + SAME).hits, len(a), len(b)) for a, b in zip(theirs, ours, strict=True)])
    metrics |= {
        "noise_spikes": float(counts[:, 2].sum()),
        "noise_spikes_brian": float(counts[:, 1].sum()),
        "noise_same": float(counts[:, 0].sum() / max(counts[:, 1:].max(axis=1).sum(), 1)),
        "noise_f1": float(np.mean([match(one, targets).f1 for one in ours])),
        "noise_f1_brian": float(np.mean([match(one, targets).f1 for one in theirs])),
    }
    RunRecord(
        experiment="tsvm/brian",
        name="tsvm_brian",
        params=wanted.model_dump(mode="json") | {"problem": params.problems.shown},
        tags={"snakemake.rule": "tsvm_brian", "seed": str(params.seed)},
        metrics=metrics,
        note="delay_low, delay_high: of Brian2's spikes after the targets, in time steps; 0 to 1 is exact. noise_same: "
        "spikes under membrane noise that both simulators make, of all.",
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
