"""Publish coupled distillation: text, tables, figure, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.studies.coupled.params import CoupledParams
from tessera.puzzle.studies.coupled.report import REPORT
from tessera.puzzle.studies.coupled.report.results import read


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
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name.

    first is the first search's block library of any target: its scores are the same for all.
    """
    results = read(
        params.coupled, params.space, params.library.loss, params.seed, coupled_library, scores, first, children
    )
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
