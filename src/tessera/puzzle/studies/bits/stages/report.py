"""Publish the search for structure and bits: text, table, figure, numbers and runs."""

from pathlib import Path

from tessera.common import stage
from tessera.puzzle.studies.bits.params import BitsParams


def main(
    params: BitsParams,
    info: Path,
    measured: Path,
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name. info is that of the costs in the first type."""
    from tessera.puzzle.studies.bits.report import REPORT
    from tessera.puzzle.studies.bits.report.results import read

    results = read(params, info, measured)
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
