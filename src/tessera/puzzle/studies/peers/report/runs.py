"""The study's runs for MLflow, one per peer, from its result files."""

from collections.abc import Iterator

import pandas as pd

from tessera.common.run_files import RunRecord
from tessera.puzzle.studies.peers.report.results import Results
from tessera.puzzle.studies.peers.report.tables import metrics

CURVES = ("kl_div", "cosine", "lm_loss")


def runs(results: Results) -> Iterator[RunRecord]:
    """One run per peer."""
    numbers = metrics(results)
    for row in results.children:
        peer, curve = row["peer"], row["curve"]
        yield RunRecord(
            experiment="puzzle/peers",
            name=peer,
            job=f"puzzle_peers_child/{peer}",
            inputs=["data/parent", "data/tokens"],
            params={"peers": results.params.model_dump(mode="json")},
            tags={"seed": str(results.seed), "peer": peer},
            metrics={
                key: float(value)
                for key, value in numbers[peer].items()
                if not isinstance(value, dict) and pd.notna(value)
            },
            history={f"healing/{name}": list(zip(curve["tokens"], curve[name], strict=True)) for name in CURVES},
            figures=["peers"],
        )
