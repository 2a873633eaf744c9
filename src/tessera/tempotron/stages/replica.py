"""Capacity of the tempotron by replica theory, and the load at an overlap of typical solutions."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import NeuronParams, TheoryParams


class Params(Section):
    """Neuron, K and samples, and the seed of the whole study."""

    neuron: NeuronParams
    theory: TheoryParams
    seed: int


def main(params: Params, capacity: Path, continuous: Path, planted: Path) -> None:
    """Write the capacities of bins, those in continuous time, and load against overlap: one row per K, and overlap."""
    import pandas as pd

    from tessera.common.progress import track
    from tessera.common.randomness import generator
    from tessera.neurons.psp import DoubleExponential
    from tessera.tempotron import continuous as process
    from tessera.tempotron import solutions, theory

    p, kernel = params.theory, DoubleExponential(**params.neuron.model_dump())
    rows = [theory.capacities(k, p.points, params.seed) for k in track(p.ks, "capacity of bins")]
    files.write_parquet(capacity, pd.DataFrame(rows))
    rows = []
    for k in track(p.continuous_ks, "capacity in continuous time"):
        rng = generator(params.seed, "tempotron", "continuous", round(1000 * k))
        sampled = process.zero_overlap(k, p.traces, rng, kernel, p.dt)
        rows.append(
            {"k": k, "zero_overlap": sampled.alpha, "error": sampled.error, "theta": sampled.theta, "x": sampled.x}
        )
    files.write_parquet(continuous, pd.DataFrame(rows, columns=["k", "zero_overlap", "error", "theta", "x"]))
    overlaps = solutions.PLANTED_OVERLAPS
    curves = [
        pd.DataFrame({"k": k, "q": overlaps, "load": solutions.planted_load(overlaps, k)})
        for k in track(p.planted_ks, "overlap of typical solutions")
    ]
    files.write_parquet(planted, pd.concat(curves) if curves else pd.DataFrame({"k": [], "q": [], "load": []}))


if __name__ == "__main__":
    stage.run(main)
