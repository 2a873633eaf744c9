"""The study's runs for MLflow, one per model, from its result files."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.tasks.report.results import PARENT, Results, model_name, numbers, split


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per model."""
    for model in results.models:
        accuracy = numbers(results)["models"][model]
        metrics = {"accuracy": accuracy["accuracy"]["value"]}
        metrics |= {f"set/{name}": interval["value"] for name, interval in accuracy["sets"].items()}
        for group, by_name in accuracy["groups"].items():
            metrics |= {f"{group}/{name}": interval["value"] for name, interval in by_name.items()}
        if model != PARENT:
            ends = (("", "value"), ("_low", "low"), ("_high", "high"))
            metrics |= {f"retention{end}": accuracy["overall"][key] for end, key in ends}
        target, method = split(model) if model != PARENT else ("", PARENT)
        yield RunRecord(
            experiment="puzzle/tasks",
            name=model_name(model),
            job=f"puzzle_tasks_answers/{model}",
            inputs=["data/parent"],
            params={"tasks": results.params.model_dump(mode="json")},
            tags={"seed": str(results.seed), "target": target, "method": method},
            metrics={name: float(value) for name, value in metrics.items() if value is not None},
            figures=["retention"],
        )
