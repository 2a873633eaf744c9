"""Draw the items of all task sets: prompt, choices, answer."""

from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.studies.tasks.params import TasksParams


class Params(Section):
    """The sets and how many items of each, and the seed of the whole study."""

    tasks: TasksParams
    seed: int


def main(params: Params, bigbench: Path, table: Path, evals: Path | None = None, root: Path = Path()) -> None:
    """Write a table of the items; relative patterns of sets of your own begin in root.

    evals is needed if one of its sets is asked for.
    """
    from tessera.data.items import Source
    from tessera.puzzle.studies.tasks.items import drawn

    archives: dict[Source, Path] = {"bigbench": bigbench}
    if evals:
        archives["evals"] = evals
    files.write_parquet(table, drawn(params.tasks, archives, root, params.seed))


if __name__ == "__main__":
    stage.run(main)
