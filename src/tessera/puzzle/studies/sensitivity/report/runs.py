"""The study's runs for MLflow, one per target and speed-up, from its result files."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.sensitivity.report.results import Results
from tessera.puzzle.studies.sensitivity.report.tables import metrics


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per target and speed-up."""
    for target, points in metrics(results).items():
        for speedup, numbers in points.items():
            yield RunRecord(
                experiment="puzzle/sensitivity",
                name=f"{target} {speedup}x",
                job=f"puzzle_sensitivity_resample/{target}",
                params={"sensitivity": results.params.model_dump(mode="json")},
                tags={"seed": str(results.seed), "target": target, "speedup": speedup},
                metrics=numbers,
                figures=["choices"],
            )
