"""The study's runs for MLflow, one per case and seed, from its result files."""

from collections.abc import Iterator

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.ablations.report.results import PLACES, STATES, Results

CURVES = ("kl_div", "cosine", "lm_loss")


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per case and seed."""
    settings = results.params.model_dump(mode="json")["cases"]
    for row in results.children:
        case, replicate, curve = row["case"], row["replicate"], row["curve"]
        metrics = {
            f"{state}/{place}/{key}": float(value)
            for state in STATES
            for place in PLACES
            for key, value in row[state][place].items()
            if key != "by_window"
        }
        yield RunRecord(
            experiment="puzzle/ablations",
            name=f"{case}, seed {replicate}",
            job=f"puzzle_ablations_case/{case.replace(' ', '-')}",
            inputs=["data/parent", "data/tokens"],
            params={"ablation": settings[case]},
            tags={"seed": str(results.seed), "case": case, "replicate": str(replicate)},
            metrics=metrics | {"objective": float(row["objective"])},
            history={f"healing/{name}": list(zip(curve["tokens"], curve[name], strict=True)) for name in CURVES},
            figures=["blocks", "flops", "cases"],
        )
