"""Trained weights in Brian2: the same spikes up to a time step, and the same under the same membrane noise."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tsvm.params import BrianParams, NeuronParams, ProblemsParams


class Params(Section):
    """The neuron, the reference problems, time steps and noise, and the seed of the whole study."""

    neuron: NeuronParams
    problems: ProblemsParams
    brian: BrianParams
    seed: int


def main(params: Params, delays: Path, numbers: Path) -> None:
    """Write the delay of every spike, and what both simulators have in common."""
    from tessera.tsvm import brian

    problem = params.problems.problems[params.problems.shown]
    table, shared = brian.check(params.brian, params.neuron, problem, params.seed)
    files.write_parquet(delays, table)
    files.write_json(numbers, shared)


if __name__ == "__main__":
    stage.run(main)
