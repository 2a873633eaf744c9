"""What the margin's precision tau_c and the hold window do: margin, and errors under jitter."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, comparison, robustness
from tessera.tsvm.params import NeuronParams, NoiseParams, SweepParams


class Params(Section):
    neuron: NeuronParams
    noise: NoiseParams
    sweep: SweepParams
    seed: int


def main(params: Params, margins: Path, run: Path) -> None:
    wanted, neuron = params.sweep, params.neuron
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    rows = []
    for problem in progress.track(range(wanted.problems), "problems"):
        spikes, targets, _, _ = comparison.feasible_task(params.noise, neuron, problem, params.seed)
        noise = robustness.draws("jitter", spikes, wanted.draws, generator(params.seed, "tsvm", "sweep", problem))
        for tau_c in wanted.tau_cs:
            for hold in wanted.holds:
                settings = neuron.model_dump() | {"tau_c": tau_c, "hold": hold * tau_c}
                model = TemporalSVM(**settings).fit(spikes, targets)
                row: dict[str, Any] = {"problem": problem, "targets": len(targets), "tau_c": tau_c, "hold": hold}
                row |= {"status": model.status_, "low": 0.0, "up": 0.0, "f1": np.nan, "perfect": np.nan}
                if model.margin_ is not None and model.margin_[0] > 0:
                    w = model.unit_weights()
                    found = robustness.trials(
                        w, 1.0, spikes, targets, psp, "jitter", wanted.jitter, noise, params.noise.window
                    )
                    row |= {"low": model.margin_[0], "up": model.margin_[1], "f1": found.f1, "perfect": found.perfect}
                rows.append(row)
    table = pd.DataFrame(rows)
    files.write_parquet(margins, table)
    metrics = {"rises_with_hold": float(_rises(table)), "feasible": float((table["low"] > 0).mean())}
    for (tau_c, hold), group in table.groupby(["tau_c", "hold"]):
        if group["f1"].notna().any():
            metrics |= {f"f1_{tau_c:g}_{hold:g}": float(group["f1"].mean())}
    RunRecord(
        experiment="tsvm/sweep",
        name="tsvm_sweep",
        params=wanted.model_dump(mode="json"),
        tags={"snakemake.rule": "tsvm_sweep", "seed": str(params.seed)},
        metrics=metrics,
        figures=["reports/figures/tsvm/sweep.svg"],
        note="f1_TAUC_HOLD: mean over problems under jitter, tau_c in ms, hold in units of it. rises_with_hold: how "
        "often a longer hold window has the larger margin, which cannot be.",
    ).write(run)


def _rises(table: pd.DataFrame) -> int:
    """Pairs of neighbouring hold windows whose proved margins rise with the window."""
    count = 0
    for _, group in table.sort_values("hold").groupby(["problem", "tau_c"]):
        count += int((group["low"].to_numpy()[1:] > group["up"].to_numpy()[:-1] * (1 + 1e-9)).sum())
    return count


if __name__ == "__main__":
    stage.run(main)
