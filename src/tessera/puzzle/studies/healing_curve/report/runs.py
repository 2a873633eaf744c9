"""The study's runs for MLflow, one per healing, from its result files."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.healing_curve.report.results import Results
from tessera.puzzle.studies.healing_curve.report.tables import points

CURVES = ("kl_div", "cosine", "lm_loss")


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per target, text and number of tokens."""
    for row in points(results).to_dict("records"):
        place = row["target"], row["text"], int(row["tokens"])
        training = results.training[place]
        yield RunRecord(
            experiment="puzzle/healing curve",
            name=f"{place[0]} {place[1]} {place[2]:,} tokens",
            job=f"puzzle_healing_curve_heal/{place[0]}/{place[1]}/{place[2]}",
            inputs=["data/parent", "data/tokens"],
            params={"healing_curve": results.params.model_dump(mode="json"), "tokens": place[2]},
            tags={"seed": str(results.seed), "target": place[0], "text": place[1]},
            metrics={
                key: float(value) for key, value in row.items() if key not in ("target", "text") and value == value
            },
            history={f"healing/{name}": list(zip(training["tokens"], training[name], strict=True)) for name in CURVES},
            figures=["curves"],
        )
