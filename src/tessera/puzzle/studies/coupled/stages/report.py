"""Write tables, numbers, run files and the figure of coupled distillation."""

from pathlib import Path

from tessera.common import files, plots, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.studies.coupled.params import CoupledParams
from tessera.puzzle.studies.coupled.report import figures
from tessera.puzzle.studies.coupled.report import results as puzzle_coupled


class Params(Section):
    """The study, the space, the library whose loss is shown, and the seed of the whole."""

    coupled: CoupledParams
    space: Space
    library: LibraryParams
    seed: int


def main(
    params: Params,
    coupled_library: list[Path],
    scores: list[Path],
    first: Path,
    children: list[Path],
    results: Path,
    pair_table: Path,
    child_table: Path,
    metrics: Path,
    runs: Path,
    figure: Path,
) -> None:
    """Write results, in Markdown, the tables of pairs and children, the numbers, the run files, and the figure.

    first is the first search's block library of any target: its scores are the same for all.
    """
    found = puzzle_coupled.read(coupled_library, scores, first, children, params.library.loss, params.space)
    files.write_text(results, puzzle_coupled.markdown(found))
    files.write_csv(pair_table, found.pairs)
    files.write_csv(child_table, puzzle_coupled.child_table(found))
    files.write_json(metrics, puzzle_coupled.summary(found))
    with files.replacing_directory(runs) as made:
        settings = {"coupled": params.coupled.model_dump(mode="json")}
        for place, record in puzzle_coupled.runs(found, settings, params.seed):
            record.write(made / f"{place}.json")
    plots.save(figures.coupled(found), figure)


if __name__ == "__main__":
    stage.run(main)
