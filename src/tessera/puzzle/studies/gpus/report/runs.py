"""The study's runs for MLflow, one per shape, GPU and type."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.gpus.report.results import Results


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per child."""
    for shape in results.shapes:
        for choice in results.found(shape):
            counts = {
                f"{subblock}_{variant}_layers": float(count)
                for subblock, layers in choice["layers"].items()
                for variant, count in layers.items()
            }
            yield RunRecord(
                experiment="puzzle/gpus",
                name=f"{shape} {choice['hardware']} {choice['dtype']}",
                job="puzzle_gpus_choose",
                params={"gpus": results.params.model_dump(mode="json")},
                tags={"shape": shape, "hardware": choice["hardware"], "dtype": choice["dtype"]},
                metrics={"value": choice["value"]} | counts,
                figures=["children"],
            )
