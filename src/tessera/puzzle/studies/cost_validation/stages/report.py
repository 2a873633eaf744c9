"""Compare the cost model with published throughputs, timed layouts and the datasheet, and publish the results."""

from pathlib import Path

from tessera.common import progress, stage
from tessera.puzzle.studies.cost_validation.params import CostValidationParams


def main(
    params: CostValidationParams,
    texts: list[Path],
    tables: list[Path],
    figures: list[Path],
    metrics: Path,
    runs: Path,
) -> None:
    """Write each item of the report into the file of its name."""
    from tessera.puzzle.studies.cost_validation.comparisons import compare
    from tessera.puzzle.studies.cost_validation.report import REPORT
    from tessera.puzzle.studies.cost_validation.report.results import Results

    results = Results(params, compare(params, lambda software: progress.track(software, "validate costs")))
    REPORT.write(results, texts=texts, tables=tables, figures=figures, metrics=metrics, runs=runs)


if __name__ == "__main__":
    stage.run(main)
