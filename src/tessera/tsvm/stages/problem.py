"""One reference problem: its margin and certificate with and without hold window, soft margins, and the online rule."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.tsvm.params import NeuronParams, ProblemsParams


class Params(Section):
    """The neuron, and all reference problems."""

    neuron: NeuronParams
    problems: ProblemsParams


def main(
    params: Params, problem: str, numbers: Path, rounds: Path, trace: Path, support: Path, soft: Path, steps: Path
) -> None:
    """Write the problem's numbers and its tables."""
    from tessera.tsvm import reference

    solved = reference.solve(params.problems, params.neuron, problem)
    files.write_json(numbers, solved.numbers)
    tables = {
        rounds: solved.rounds,
        trace: solved.trace,
        support: solved.support,
        soft: solved.soft,
        steps: solved.steps,
    }
    for path, table in tables.items():
        files.write_parquet(path, table)


if __name__ == "__main__":
    stage.run(main)
