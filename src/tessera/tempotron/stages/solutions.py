"""The solutions that independent starts find of the same task: overlaps, chords, clusters, and a walk around one."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tempotron.params import ClustersParams, Input, NeuronParams


class Params(Section):
    """Neuron, tasks and rule, and the seed of the whole study."""

    neuron: NeuronParams
    clusters: ClustersParams
    seed: int


def main(params: Params, inputs: Input, k: int, load: float, pairs: Path, summary: Path) -> None:
    """Write one row per pair of solutions of a task, and a summary of the tasks."""
    from tessera.tempotron import sampled_solutions

    table, numbers = sampled_solutions.explore(inputs, k, load, params.clusters, params.neuron, params.seed)
    files.write_parquet(pairs, table)
    files.write_json(summary, numbers)


if __name__ == "__main__":
    stage.run(main)
