"""Law of the largest potential of a pattern at one K: the Gaussian process, the neuron, and four candidate laws."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import MaximumParams, NeuronParams


class Params(Section):
    """Neuron and samples, and the seed of the whole study."""

    neuron: NeuronParams
    maximum: MaximumParams
    seed: int


def main(params: Params, k: float, quantiles: Path, distances: Path) -> None:
    """Write quantiles of the maximum by source, and its medians and distances from the laws."""
    import numpy as np
    import pandas as pd

    from tessera.common.randomness import generator
    from tessera.neurons.psp import DoubleExponential
    from tessera.tempotron import maximum

    kernel = DoubleExponential(**params.neuron.model_dump())
    rng = generator(params.seed, "tempotron", "maximum", round(1000 * k))
    samples = maximum.sampled(k, params.maximum, kernel, rng)
    tables = [
        pd.DataFrame({"source": source, "h": np.quantile(h, maximum.PROBABILITIES)}) for source, h in samples.items()
    ]
    files.write_parquet(quantiles, pd.concat(tables).assign(k=k))
    files.write_json(distances, {"k": k} | maximum.distances(samples, k))


if __name__ == "__main__":
    stage.run(main)
