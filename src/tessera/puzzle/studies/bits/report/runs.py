"""The study's runs for MLflow, one per child."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.bits.report.results import Results


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per child."""
    for point in results.points:
        limit = point["types"] if point["budget"] is None else f"{point['budget']} {point['at']:g}"
        numbers = {"predicted_kl_div": point["value"]} | {key: point[key] for key in ("speed", "size", "runtime_ms")}
        numbers |= {key: point["measured"][key] for key in ("kl_div", "lm_loss", "top1")}
        served = results.served(point)
        numbers |= {f"served_{key}": value for key, value in (served or {}).items()}
        yield RunRecord(
            experiment="puzzle/bits",
            name=f"{point['method']}, {limit}",
            job="puzzle_bits_measure",
            inputs=["data/parent", "data/tokens"],
            params={"bits": results.params.model_dump(mode="json")},
            tags={"method": point["method"], "limit": limit, "outside": point["outside"]},
            metrics={key: float(value) for key, value in numbers.items()},
            figures=["frontier"],
            note=f"`{' '.join(point['blocks'])}`",
        )
