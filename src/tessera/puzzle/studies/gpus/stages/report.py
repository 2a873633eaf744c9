"""Publish the children of several GPUs: table, figure, numbers and runs."""

from pathlib import Path

from tessera.common import files, stage
from tessera.puzzle.studies.gpus.params import GpusParams
from tessera.puzzle.studies.gpus.report import REPORT
from tessera.puzzle.studies.gpus.report.results import Results


def main(params: GpusParams, choices: Path, tables: list[Path], figures: list[Path], metrics: Path, runs: Path) -> None:
    """Write each item of the report into the file of its name."""
    results = Results(params, files.read_json(choices))
    REPORT.write(results, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
