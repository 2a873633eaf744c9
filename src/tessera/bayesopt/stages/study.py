"""Publish a study of the workflow: its trials, their trace, numbers, and a run for each."""

from pathlib import Path

from tessera.bayesopt.params import StudyParams
from tessera.bayesopt.report import STUDY_REPORT
from tessera.bayesopt.report.results import read_study
from tessera.common import stage


def main(
    params: StudyParams,
    study: str,
    results: list[Path],
    costs: list[Path],
    confirmations: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    study_results = read_study(study, params, results, costs, confirmations)
    STUDY_REPORT.write(study_results, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
