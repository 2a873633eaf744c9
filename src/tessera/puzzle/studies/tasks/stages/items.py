"""Draw the items of all task sets: prompt, choices, answer."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.studies.tasks.params import TasksParams


class Params(Section):
    """The sets and how many items of each, and the seed of the whole study."""

    tasks: TasksParams
    seed: int


def main(params: Params, bigbench: Path, evals: Path, table: Path, root: Path = Path()) -> None:
    """Write a table of the items; relative patterns of sets of your own begin in root."""
    from tessera.puzzle.studies.tasks.items import drawn

    files.write_parquet(table, drawn(params.tasks, {"bigbench": bigbench, "evals": evals}, root, params.seed))


if __name__ == "__main__":
    stage.run(main)
