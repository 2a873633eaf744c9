"""One random task: how much noise the weights of every method bear, and what is predicted of them."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import comparison, prediction, robustness
from tessera.tsvm.params import NeuronParams, NoiseParams


class Params(Section):
    neuron: NeuronParams
    noise: NoiseParams
    seed: int


def main(params: Params, problem: int, curves: Path, critical: Path, runs: list[Path]) -> None:
    wanted, neuron = params.noise, params.neuron
    if len(runs) != len(wanted.methods):
        raise ValueError(f"--runs: {len(runs)} paths for {len(wanted.methods)} methods; valid is one each")
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    spikes, targets, model, tries = comparison.feasible_task(wanted, neuron, problem, params.seed)
    rng = generator(params.seed, "tsvm", "noise", problem, "draws")
    noise = {kind: robustness.draws(kind, spikes, wanted.draws, rng) for kind in wanted.levels}
    task = {"problem": problem, "targets": len(targets), "kappa": model.certificate_.low, "tries": tries}
    rows, levels = [], []
    for method, path in zip(wanted.methods, runs, strict=True):
        own = generator(params.seed, "tsvm", "noise", problem, method)
        fit = comparison.fit(method, spikes, targets, model, neuron, wanted, own)
        metrics = {"converged": float(fit.converged), "steps": float(fit.steps)}
        exact = method in comparison.EXACT
        held = 0.0 if method == "one_sided" else neuron.tau_c
        margin = prediction.threshold_margin(fit.w, spikes, targets, psp, neuron.tau_c, held) if exact else np.nan
        for kind, draws in noise.items():
            found = comparison.curve(fit.w, spikes, targets, psp, kind, wanted.levels[kind], draws, wanted.window)
            level = comparison.critical(fit.w, spikes, targets, psp, kind, draws, wanted.window)
            row = task | {"method": method, "kind": kind, "converged": fit.converged, "steps": fit.steps}
            row |= {"critical": level, "margin": margin, "by_margin": np.nan, "by_survival": np.nan, "timing": np.nan}
            if exact:
                row["by_margin"] = prediction.by_margin(fit.w, margin, spikes, psp, kind)
                row["by_survival"] = prediction.by_survival(fit.w, spikes, targets, psp, kind, wanted.window)
                sd = robustness.timing_noise(fit.w, 1.0, spikes, psp, kind, targets)
                row["timing"] = float(np.sqrt((sd**2).mean()))
            levels.append(row)
            rows += [task | {"method": method, "kind": kind, "timing": row["timing"]} | one for one in found]
            metrics |= {f"critical_{kind}": level} | {f"f1_{kind}_{one['level']:g}": one["f1"] for one in found}
        RunRecord(
            experiment="tsvm/noise",
            name=f"tsvm_noise/problem={problem}/method={method}",
            params=wanted.model_dump(mode="json", exclude={"levels"}) | task | {"method": method},
            tags={"snakemake.rule": "tsvm_noise", "seed": str(params.seed)},
            metrics=metrics,
            figures=["reports/figures/tsvm/noise.svg", "reports/figures/tsvm/prediction.svg"],
            note="critical: the noise at which half of the trials have an error, ms for jitter, of each weight for "
            "synaptic noise, thresholds for the membrane's.",
        ).write(path)
    files.write_parquet(curves, pd.DataFrame(rows))
    files.write_parquet(critical, pd.DataFrame(levels))


if __name__ == "__main__":
    stage.run(main)
