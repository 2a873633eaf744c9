"""Publish the sensitivity of the search: table, figure, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.common.params import Section
from tessera.puzzle.studies.sensitivity.params import SensitivityParams
from tessera.puzzle.studies.sensitivity.report import REPORT
from tessera.puzzle.studies.sensitivity.report.results import read


class Params(Section):
    """The draws, and the seed of the whole study."""

    sensitivity: SensitivityParams
    seed: int


def main(
    params: Params, sensitivity: list[Path], tables: list[Path], figures: list[Path], metrics: Path, runs: Path
) -> None:
    """Write each item of the report into the file of its name; sensitivity is one file per target."""
    results = read(params.sensitivity, params.seed, sensitivity)
    REPORT.write(results, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
