"""Write table, numbers, run files and the figure of the searches on true KL."""

from pathlib import Path

from tessera.common import files, plots, stage
from tessera.common.params import Section
from tessera.puzzle.studies.evolution.params import EvolutionParams
from tessera.puzzle.studies.evolution.report import results as puzzle_evolution


class Params(Section):
    """The study, and the seed of the whole."""

    evolution: EvolutionParams
    seed: int


def main(
    params: Params, searches: list[Path], results: Path, table: Path, metrics: Path, runs: Path, figure: Path
) -> None:
    """Write results, in Markdown, the table of searches, the numbers, the run files, and the figure."""
    rows = puzzle_evolution.read(searches)
    files.write_text(results, puzzle_evolution.markdown(rows))
    files.write_csv(table, puzzle_evolution.table(rows))
    files.write_json(metrics, puzzle_evolution.metrics(rows))
    settings = {"evolution": params.evolution.model_dump(mode="json")}
    with files.replacing_directory(runs) as made:
        for place, record in puzzle_evolution.runs(rows, settings, params.seed):
            record.write(made / f"{place}.json")
    plots.save(puzzle_evolution.figure(rows), figure)


if __name__ == "__main__":
    stage.run(main)
