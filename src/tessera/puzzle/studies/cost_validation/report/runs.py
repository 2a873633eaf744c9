"""The study's runs for MLflow, one per software and workload."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.cost_validation.report.results import NAMES, Results
from tessera.puzzle.studies.cost_validation.report.tables import metrics


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per software and workload."""
    for software, workloads in metrics(results)["throughput"].items():
        for workload, numbers in workloads.items():
            yield RunRecord(
                experiment="puzzle/cost_validation",
                name=f"{NAMES[software]} {workload}",
                job="puzzle_cost_validation_report",
                params={"cost_validation": results.params.model_dump(mode="json")},
                tags={"software": software, "workload": workload},
                metrics={key: float(value) for key, value in numbers.items()},
                figures=["throughput", "interpolation", "roofline"],
            )
