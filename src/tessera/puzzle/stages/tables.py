"""Write the tables of the Puzzle study, and one run file for each step that MLflow shows."""

from pathlib import Path

from tessera.common import files, publish, stage
from tessera.common.params import Section
from tessera.puzzle.params import PuzzleParams
from tessera.puzzle.report import results as puzzle_results
from tessera.puzzle.report import runs as puzzle_runs
from tessera.puzzle.report import tables as puzzle_tables

TABLES = {
    "results": puzzle_tables.results,
    "frontier": puzzle_tables.frontier,
    "costs": puzzle_tables.costs,
    "library": puzzle_tables.library,
    "evaluation": puzzle_tables.evaluation,
}


class Params(Section):
    """All of the study, for the runs' parameters."""

    puzzle: PuzzleParams
    seed: int


def main(
    params: Params,
    library: list[Path],
    scores: list[Path],
    costs: list[Path],
    frontier: list[Path],
    children: list[Path],
    curves: list[Path],
    evaluation: list[Path],
    speed: Path,
    results: Path,
    tables: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write results, in Markdown, the tables, each named by its file, the metrics of children, and the run files."""
    publish.check("tables", tables, TABLES)
    found = puzzle_results.read(library, scores, costs, frontier, children, curves, evaluation, speed)
    files.write_text(results, puzzle_tables.markdown(found))
    for path in tables:
        files.write_csv(path, TABLES[path.stem](found))
    files.write_json(metrics, puzzle_tables.metrics(found))
    with files.replacing_directory(runs) as made:
        for place, record in puzzle_runs.records(found, params.puzzle, params.seed):
            record.write(made / f"{place}.json")


if __name__ == "__main__":
    stage.run(main)
