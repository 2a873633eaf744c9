"""The study's runs for MLflow, one per child, from its result files."""

from collections.abc import Iterator

import pandas as pd

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.coupled.report.results import Results
from tessera.puzzle.studies.coupled.report.tables import children

CURVES = ("kl_div", "cosine", "lm_loss")


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per target, speed-up and method."""
    table = children(results).drop(columns="blocks").to_dict("records")
    for child, numbers in zip(results.children, table, strict=True):
        tags = {key: str(child[key]) for key in ("target", "speedup", "method")}
        curve = child["curve"]
        yield RunRecord(
            experiment="puzzle/coupled",
            name=f"{child['target']} {child['speedup']:g}x {child['method']}",
            job=f"puzzle_coupled_children/{child['target']}",
            inputs=["data/parent", "data/tokens"],
            params={"coupled": results.params.model_dump(mode="json")},
            tags={"seed": str(results.seed), **tags},
            metrics={
                key: float(value)
                for key, value in numbers.items()
                if key not in tags and value is not None and not pd.isna(value)
            },
            history={f"healing/{name}": list(zip(curve["tokens"], curve[name], strict=True)) for name in CURVES},
            figures=["coupled"],
            note=f"`{' / '.join(child['blocks'])}`",
        )
