"""Import run files into MLflow: each run that a study's report writes becomes exactly one MLflow run.

Reports know nothing about MLflow. They write versioned run files, reports/runs/STUDY.jsonl; `sync` brings the database
into line with them. So a clone can rebuild the database, a skipped stage adds no run, and parallel jobs do not wait for
a database lock.
"""

import fcntl
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera.common import files, progress, run_files
from tessera.common.run_files import RunRecord
from tessera.workflow.origins import Origins, summary

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

DATABASE = "mlflow.db"
#: PENDING marks a run whose import was interrupted; the next import removes it. CURRENT is "false" for runs of earlier
#: parameters or code.
KEY, CURRENT, PENDING, FILE = run_files.IMPORT_TAGS
#: Maximum length of a parameter's value. MLflow truncates longer ones, so that different runs would look equal.
LONGEST_PARAM = 6000
#: Artifact that holds the longer values in full, by parameter.
LONG_PARAMS = "params.json"


@dataclass(frozen=True)
class _Run:
    """A run in a run file."""

    path: Path
    """The file, relative to the root."""
    key: str
    """Hash of the file name and the run's line."""
    record: RunRecord


def sync(root: str | Path = ".") -> int:
    """Bring root's mlflow.db into line with its run files; return the number of new runs.

    A run is identified by the hash of its file name and its line. If the file or line has gone or changed since, the
    run is kept and tagged current = false. The next import repairs one that was killed. Whatever a user deletes in
    MLflow stays deleted. Raises ValueError, with one line per unreadable run file, after importing all other files.
    """
    root = Path(root)
    runs, faults = _read(root)
    with _locked(root):
        client = _client(root)
        known = _known_runs(client)
        deleted = _deleted_experiments(client)
        origins = Origins(root)
        tags_of_file = {path: origins.tags(path) for path in {run.path for run in runs}}
        new, missing = 0, Counter[str]()
        for run in progress.track(runs, "runs of MLflow"):
            tags = _tags(run, tags_of_file[run.path])
            inputs = _inputs(run.record, origins)
            if run.key in known:
                _update(client, known[run.key], tags, inputs)
            elif run.record.experiment not in deleted:
                times = origins.times(run.record.job, run.path)
                missing.update(_create(client, root, run.record, tags, inputs, times))
                new += 1
        current = {run.key for run in runs}
        for key, known_run in known.items():
            if key not in current:
                _update(client, known_run, {CURRENT: "false"})
    for name in sorted(deleted.keys() & {run.record.experiment for run in runs}):
        restore = f"MLFLOW_TRACKING_URI=sqlite:///{DATABASE} mlflow experiments restore -x {deleted[name]}"
        print(f"{name} is not imported because it was deleted in MLflow; to restore it: {restore}", file=sys.stderr)
    if missing:
        print(f"{len(missing)} figures are missing (dvc pull fetches them), such as {min(missing)}", file=sys.stderr)
    if faults:
        raise ValueError("\n".join(faults))
    return new


def _tags(run: _Run, tags_of_file: Mapping[str, str]) -> dict[str, str]:
    """Return a run's own tags and those that the import adds."""
    rule = run.record.job.split("/")[0]
    tags = run.record.tags | dict(tags_of_file) | {KEY: run.key, CURRENT: "true", FILE: run.path.as_posix()}
    tags |= {"snakemake.rule": rule, "mlflow.source.name": f"snakemake {rule}", "mlflow.source.type": "LOCAL"}
    return tags | ({"mlflow.note.content": run.record.note} if run.record.note else {})


def _inputs(record: RunRecord, origins: Origins) -> "list[DatasetInput]":
    """Return the data sets that a run read, with their hashes, as far as dvc.lock lists them."""
    from mlflow.entities import Dataset, DatasetInput

    digests = {path: digest for path in record.inputs if (digest := origins.digest(path))}
    return [DatasetInput(Dataset(path, digest, "local", json.dumps({"uri": path}))) for path, digest in digests.items()]


def _read(root: Path) -> tuple[list[_Run], list[str]]:
    """Return the runs of all readable files, and the errors of the others."""
    runs, faults = [], []
    for path in sorted(root.glob(run_files.RUN_FILES)):
        try:
            records = run_files.read(path)
        except (ValueError, OSError) as error:
            faults.append(str(error))
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        runs += [
            _Run(path.relative_to(root), _key(path.name, line), record)
            for line, record in zip(lines, records, strict=True)
        ]
    return runs, faults


def _key(name: str, line: str) -> str:
    return hashlib.sha256(f"{name}\0{line}".encode()).hexdigest()[:16]


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the lock of the import, waiting for any other process to finish."""
    with (root / f"{DATABASE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _client(root: Path) -> "MlflowClient":
    """Open the database. A new one is created under a temporary name: MLflow cannot reopen a half-migrated database."""
    from mlflow import MlflowClient

    database = root / DATABASE
    if not database.exists():
        with files.replacing(database) as hidden:
            hidden.unlink(missing_ok=True)
            MlflowClient(f"sqlite:///{hidden.resolve()}").search_experiments()
    return MlflowClient(f"sqlite:///{database.resolve()}")


def _deleted_experiments(client: "MlflowClient") -> dict[str, str]:
    """Return the ids of deleted experiments by name."""
    from mlflow.entities import ViewType

    deleted = client.search_experiments(ViewType.DELETED_ONLY)
    return {experiment.name: experiment.experiment_id for experiment in deleted}


def _known_runs(client: "MlflowClient") -> dict[str, "Run"]:
    """Return complete runs by key, including those deleted in MLflow; delete incomplete ones."""
    from mlflow.entities import ViewType

    known: dict[str, Run] = {}
    experiments = [experiment.experiment_id for experiment in client.search_experiments(ViewType.ALL)]
    token: str | None = None
    while True:
        page = client.search_runs(experiments, run_view_type=ViewType.ALL, max_results=1000, page_token=token)
        for run in page:
            key = run.data.tags.get(KEY)
            if PENDING in run.data.tags:
                if _is_active(run):
                    client.delete_run(run.info.run_id)
            elif key and (key not in known or _is_active(run)):
                known[key] = run
        token = page.token
        if not token:
            return known


def _create(
    client: "MlflowClient",
    root: Path,
    record: RunRecord,
    tags: dict[str, str],
    inputs: "list[DatasetInput]",
    times: tuple[int, int],
) -> list[str]:
    """Create a run with the given start and end times (ms); return its figures that are missing."""
    from mlflow.entities import Metric, Param

    start, end = times
    experiment = _experiment(client, record.experiment)
    run = client.create_run(experiment, start_time=start, run_name=record.name, tags=tags | {PENDING: "true"})
    run_id = run.info.run_id
    metrics = [Metric(name, value, end, 0) for name, value in sorted(record.metrics.items())]
    metrics += [
        Metric(name, value, end, step) for name, curve in sorted(record.history.items()) for step, value in curve
    ]
    # Chunk sizes are the largest that MLflow accepts in one call.
    for chunk in _chunks(metrics, 1000):
        client.log_batch(run_id, metrics=chunk)
    params = record.flat_params()
    if long := {name: value for name, value in params.items() if len(value) > LONGEST_PARAM}:
        client.log_dict(run_id, long, LONG_PARAMS)
        params |= {name: summary(value, LONG_PARAMS) for name, value in long.items()}
    for chunk in _chunks([Param(*item) for item in sorted(params.items())], 100):
        client.log_batch(run_id, params=chunk)
    if inputs:
        client.log_inputs(run_id, inputs)
    missing = [figure for figure in record.figures if not (root / figure).is_file()]
    for figure in record.figures:
        if figure not in missing:
            client.log_artifact(run_id, str(root / figure), "figures")
    client.set_terminated(run_id, end_time=end)
    client.delete_tag(run_id, PENDING)
    return missing


def _experiment(client: "MlflowClient", name: str) -> str:
    if known := client.get_experiment_by_name(name):
        return known.experiment_id
    # Relative to the folder in which the UI is started, so that the tree can be moved.
    place = f"mlartifacts/{name}"
    return client.create_experiment(name, place, tags={"mlflow.experimentKind": "custom_model_development"})


def _is_active(run: "Run") -> bool:
    return run.info.lifecycle_stage == "active"


def _update(client: "MlflowClient", run: "Run", tags: Mapping[str, str], inputs: "Sequence[DatasetInput]" = ()) -> None:
    """Update a run's tags and data sets, unless a user has deleted it."""
    from mlflow.entities import RunTag

    if not _is_active(run):
        return
    changed = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
    if changed:
        client.log_batch(run.info.run_id, tags=changed)
    known = {(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs}
    new = [entry for entry in inputs if (entry.dataset.name, entry.dataset.digest) not in known]
    if new:
        client.log_inputs(run.info.run_id, new)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
