"""Publish the main chain: texts, tables, figures, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.params import PuzzleParams
from tessera.puzzle.report import REPORT
from tessera.puzzle.report.results import read


class Params(Section):
    """The study's parameters, and the seed of its runs."""

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
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
    refits: list[Path] = [],  # noqa: B006  never changed
) -> None:
    """Write each item of the report into the file of its name; there are no refits if nothing is refitted."""
    results = read(
        params.puzzle, params.seed, library, scores, costs, frontier, children, curves, refits, evaluation, speed
    )
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
