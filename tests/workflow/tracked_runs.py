"""Run files of one record, and the MLflow runs imported from them."""

from pathlib import Path

from tessera.common import run_files
from tessera.common.run_files import RunRecord
from tessera.workflow import tracking

RECORD = RunRecord(
    experiment="puzzle/library",
    name="layer 3, kv1",
    job="puzzle_library/3",
    inputs=["data/tokens"],
    params={"library": {"ridge": 0.1, "betas": [0.9, 0.95]}, "seed": 0, "source": "text"},
    tags={"device": "cpu"},
    metrics={"loss": 0.5},
    history={"bld/loss": [(step, 1 / (step + 1)) for step in range(1500)]},
    figures=["reports/figures/loss.svg"],
    note="One layer's *library*.",
)
FILE = "reports/runs/puzzle.jsonl"
OTHER = "reports/runs/puzzle_peers.jsonl"


def write(root: Path, *changes: dict, file: str = FILE) -> None:
    """Write the record once per change, each as one run."""
    run_files.write(root / file, [RECORD.model_copy(update=change) for change in changes])


def runs(root: Path) -> list:
    """All runs of all experiments."""
    client = tracking._client(root)
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))
