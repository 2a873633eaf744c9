"""The study's runs for MLflow, one per search and seed, from its result files."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.evolution.report.results import Results, best_so_far
from tessera.puzzle.studies.evolution.report.tables import metrics


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per search and seed."""
    numbers = metrics(results)
    for row in results.searches:
        search, replicate = row["search"], str(row["replicate"])
        yield RunRecord(
            experiment="puzzle/evolution",
            name=f"{search}, seed {replicate}",
            job=f"puzzle_evolution_search/{search}-{replicate}",
            inputs=["data/parent", "data/tokens"],
            params={"evolution": results.params.model_dump(mode="json")},
            tags={"seed": str(results.seed), "search": search, "replicate": replicate},
            metrics={key: float(value) for key, value in numbers[search][replicate].items() if value is not None},
            history={"best_kl_div": [(n, float(kl)) for n, kl in enumerate(best_so_far(row), 1)]},
            figures=["search"],
            note=f"`{' '.join(row['best']['blocks'])}`",
        )
