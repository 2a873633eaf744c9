"""Publish the searches on true KL: text, table, figure, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.studies.evolution.params import EvolutionParams
from tessera.puzzle.studies.evolution.report import REPORT
from tessera.puzzle.studies.evolution.report.results import read


class Params(Section):
    """The study, and the seed of the whole."""

    evolution: EvolutionParams
    seed: int


def main(
    params: Params,
    searches: list[Path],
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    results = read(params.evolution, params.seed, searches)
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
