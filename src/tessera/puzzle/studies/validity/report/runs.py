"""The study's runs for MLflow, from its result files."""

from collections.abc import Iterator
from typing import Any

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.validity.report.numbers import numbers
from tessera.puzzle.studies.validity.report.results import PREDICTORS, STATES, Results, predictions


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per child, and one with the numbers of the study."""
    seed, params = {"seed": str(results.seed)}, {"validity": results.params.model_dump(mode="json")}
    forms = {name: predictions(results, name) for name in PREDICTORS}
    for row in [*results.children, *results.corrected]:
        metrics = {f"predicted/{name}": values.get(row["name"]) for name, values in forms.items()}
        if row["group"] == "corrected":
            metrics = {"predicted/corrected": row["predicted"]}
        metrics |= {"predicted/se": results.predicted_se(row), "replaced_subblocks": results.replaced(row)}
        for state in STATES:
            metrics |= {f"{state}/{key}": value for key, value in row[state].items() if key != "by_window"}
        tags = {key: str(row[key]) for key in ("group", "target", "method", "speedup") if row[key] is not None}
        yield RunRecord(
            experiment="puzzle/validity",
            name=row["name"],
            job=f"puzzle_validity_group/{row['group']}",
            inputs=["data/parent", "data/tokens"],
            params=params,
            tags=seed | tags,
            metrics=_numeric(metrics),
            figures=["kl", "bias"],
            note=f"`{' '.join(row['blocks'])}`",
        )
    yield RunRecord(
        experiment="puzzle/validity",
        name="summary",
        job="puzzle_validity_report",
        params=params,
        tags=seed,
        metrics=_numeric(dict(_leaves(numbers(results)))),
        figures=["kl", "bias", "composed", "optimum", "time"],
    )


def _leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{place}/{key}".lstrip("/"))
    elif isinstance(tree, int | float):
        yield place, tree


def _numeric(metrics: dict[str, float | None]) -> dict[str, float]:
    """Without null and NaN."""
    return {key: float(value) for key, value in metrics.items() if value is not None and value == value}
