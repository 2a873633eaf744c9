"""Law of the largest potential of a pattern at one K: the Gaussian process, the neuron, and four candidate laws."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.randomness import generator
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import maximum, tasks
from tessera.tempotron.neuron import max_potential
from tessera.tempotron.params import MaximumParams, NeuronParams

#: Probabilities at which the distributions are kept.
PROBABILITIES = (np.arange(400) + 0.5) / 400


class Params(Section):
    neuron: NeuronParams
    maximum: MaximumParams
    seed: int


def main(params: Params, k: float, quantiles: Path, run: Path) -> None:
    wanted, kernel = params.maximum, DoubleExponential(**params.neuron.model_dump())
    rng = generator(params.seed, "tempotron", "maximum", round(1000 * k))
    samples = {"process": maximum.process_maxima(k, wanted.traces, rng, kernel, wanted.dt)}
    duration = tasks.duration(k, kernel)
    for ensemble in ("poisson", "single"):
        weights = rng.normal(size=wanted.afferents)
        weights -= weights.mean()  # or the mean drive, the same in all patterns, would widen the law
        spikes = tasks.spike_patterns(ensemble, wanted.afferents, wanted.patterns, duration, rng)
        sigma = np.linalg.norm(weights) * np.sqrt(kernel.energy / duration)
        samples[ensemble] = max_potential(weights, spikes, kernel).v_max / sigma
    kept = [pd.DataFrame({"source": s, "h": np.quantile(x, PROBABILITIES)}) for s, x in samples.items()]
    files.write_parquet(quantiles, pd.concat(kept).assign(k=k))
    metrics = {f"median_{source}": float(np.median(x)) for source, x in samples.items()}
    metrics["median_rice"] = maximum.rice_median(k)
    metrics |= {f"sup_{law}": maximum.sup_distance(samples["process"], law, k) for law in maximum.LAWS}
    metrics |= {f"sup_rice_{e}": maximum.sup_distance(samples[e], "rice", k) for e in ("poisson", "single")}
    RunRecord(
        experiment="tempotron/maximum",
        name=f"tempotron_maximum/k={k:g}",
        params=params.maximum.model_dump(mode="json") | {"k": k},
        tags={"snakemake.rule": "tempotron_maximum", "seed": str(params.seed)},
        metrics=metrics,
        figures=["reports/figures/tempotron/maximum.svg"],
        note="sup: largest difference between the distributions of the samples and of a law (rice, gumbel, ...).",
    ).write(run)


if __name__ == "__main__":
    stage.run(main)
