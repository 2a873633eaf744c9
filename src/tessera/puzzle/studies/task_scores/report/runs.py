"""The study's runs for MLflow, one per score's child, from its result files."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.task_scores.report.results import Results, numbers
from tessera.puzzle.studies.task_scores.search import SCORES


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per score."""
    summary = numbers(results)
    for score in SCORES:
        metrics = {key: float(value) for key, value in summary["children"][score].items()}
        for place, by_name in summary["models"][score].items():
            metrics |= {
                f"{place}/{name}": interval["value"]
                for name, interval in by_name.items()
                if interval["value"] is not None
            }
        yield RunRecord(
            experiment="puzzle/task_scores",
            name=score,
            job=f"puzzle_task_scores_heal/{score}",
            inputs=["data/parent", "data/tokens"],
            params={"task_scores": results.params.model_dump(mode="json")},
            tags={"seed": str(results.seed), "score": score},
            metrics=metrics,
            figures=["scores"],
            note=f"`{' '.join(results.children[score]['blocks'])}`",
        )
