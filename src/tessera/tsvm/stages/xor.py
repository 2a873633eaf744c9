"""The exclusive-or over kernels: margins or proofs that there is none, and how much noise each neuron bears."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, kernel_noise
from tessera.tsvm.params import KernelsParams, NeuronParams
from tessera.tsvm.tasks import jittered, xor


class Params(Section):
    neuron: NeuronParams
    kernels: KernelsParams
    seed: int


def main(params: Params, margins: Path, noise: Path, run: Path) -> None:
    wanted, neuron = params.kernels, params.neuron
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    spikes, targets = xor(wanted.afferents, wanted.volley, wanted.target, wanted.duration)
    fires = np.array([len(one) > 0 for one in targets])
    t = np.arange(0.0, wanted.duration, wanted.dt)
    # The same draws for every kernel.
    membrane = kernel_noise.membrane_noise(
        psp, t, wanted.draws * len(fires), generator(params.seed, "tsvm", "xor", "membrane")
    )
    moved = [
        [jittered(spikes, sd, generator(params.seed, "tsvm", "xor", "jitter", draw)) for draw in range(wanted.draws)]
        for sd in wanted.jitter
    ]
    metrics: dict[str, float] = {}
    rows, scores = [], []
    for name, kernel in progress.track(kernel_noise.xor_kernels(wanted.afferents).items(), "kernels"):
        model = TemporalSVM(kernel, **neuron.model_dump(), hold=0.0, scale=wanted.scale, after_last=False)
        model.fit(spikes, targets)
        certificate = model.certificate_
        rows.append(
            {
                "kernel": name,
                "status": model.status_,
                "low": certificate.low,
                "up": certificate.up,
                "ratio": certificate.ratio,
                "size": certificate.size,
                "cuts": model.history_[-1].cuts,
            }
        )
        key = _metric(name)
        metrics |= {f"{key}: certified": float(model.status_ == "certified"), f"{key}: margin": certificate.low}
        if model.status_ not in ("certified", "feasible"):
            continue
        quiet = np.tile(kernel_noise.potentials(model, spikes, t), (wanted.draws, 1))
        labels = np.tile(fires, wanted.draws)
        for level in wanted.membrane:
            right = kernel_noise.correct(quiet + level * membrane, t, wanted.target, labels, neuron.tau_m)
            scores.append(_score(name, "membrane", level, right, labels))
        for level, draws in zip(wanted.jitter, moved, strict=True):
            v = np.vstack([kernel_noise.potentials(model, one, t) for one in draws])
            right = kernel_noise.correct(v, t, wanted.target, labels, neuron.tau_m)
            scores.append(_score(name, "jitter", level, right, labels))
    table = pd.DataFrame(scores)
    files.write_parquet(margins, pd.DataFrame(rows))
    files.write_parquet(noise, table)
    metrics["infeasible"] = float(sum(row["status"] == "infeasible" for row in rows))
    metrics |= {f"{_metric(row.kernel)}: {row.kind} {row.level:g}": row.right for row in table.itertuples()}
    RunRecord(
        experiment="tsvm/xor",
        name="tsvm_xor",
        params=wanted.model_dump(mode="json"),
        tags={"snakemake.rule": "tsvm_xor", "seed": str(params.seed)},
        metrics=metrics,
        figures=["reports/figures/tsvm/xor.svg"],
        note="The fraction of noisy patterns on which the neuron is right, by kernel, noise and level.",
    ).write(run)


def _metric(kernel: str) -> str:
    """A kernel's name as MLflow takes it: without commas."""
    return kernel.replace(",", "")


def _score(kernel: str, kind: str, level: float, right: np.ndarray, fires: np.ndarray) -> dict:
    return {
        "kernel": kernel,
        "kind": kind,
        "level": level,
        "right": float(right.mean()),
        "right_firing": float(right[fires].mean()),
        "right_silent": float(right[~fires].mean()),
        "patterns": len(right),
    }


if __name__ == "__main__":
    stage.run(main)
