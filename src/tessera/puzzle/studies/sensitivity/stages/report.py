"""Draw and tabulate the sensitivity of the search."""

from pathlib import Path

from tessera.common import files, plots, stage
from tessera.puzzle.studies.sensitivity.report import results as report


def main(sensitivity: list[Path], figure: Path, table: Path, metrics: Path) -> None:
    """sensitivity is a file of each target."""
    found = [files.read_json(path) for path in sensitivity]
    plots.save(report.figure(found), figure)
    files.write_csv(table, report.table(found))
    files.write_json(metrics, report.metrics(found))


if __name__ == "__main__":
    stage.run(main)
