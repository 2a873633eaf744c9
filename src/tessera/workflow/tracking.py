"""MLflow, filled from files: each run file that a study writes becomes one MLflow run, once.

Stages know nothing of MLflow. They write run files, reports/metrics/STUDY/RULE/NAME.json, which are versioned; `sync`
makes the database agree with them. So a clone can rebuild all of it, a stage that was skipped adds no run, and parallel
jobs do not wait for a database.
"""

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tessera.common import files, run_files
from tessera.common.run_files import RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASE = "mlflow.db"
#: The folder of all run files.
RUNS = "reports/metrics"
#: A run tagged PENDING is one whose import was cut short: the next import removes it. CURRENT is "false" for the runs
#: of earlier parameters or code.
KEY, CURRENT, PENDING, FILE = run_files.IMPORT_TAGS
#: Most characters of a parameter's value. MLflow cuts off what is longer, and then runs that differ look equal.
LONGEST_PARAM = 6000
#: Artifact with the values that are longer, by parameter.
LONG_PARAMS = "params.json"


def sync(root: str | Path = ".") -> int:
    """Make root's mlflow.db agree with its run files, and return how many runs are new.

    A run is known by the hash of its file's path and content. Runs of files that are gone or say something else by now
    are kept and tagged current = false. An import that was killed is mended by the next. What a person deletes in
    MLflow stays deleted. Raises ValueError after all other files are imported, with one line for each that is not a run
    file.
    """
    root = Path(root)
    records, faults = _read(root)
    with _locked(root):
        client = _client(root)
        known = _known_runs(client)
        deleted = _deleted_experiments(client)
        new = 0
        keys = {path: _key(path.relative_to(root), path) for path in records}
        origins = _Origins(root)
        for path, record in records.items():
            tags = record.tags | origins.tags(path.relative_to(root)) | {KEY: keys[path], CURRENT: "true"}
            if record.note:
                tags["mlflow.note.content"] = record.note
            run = known.get(keys[path])
            if run:
                _retag(client, run, tags)
            elif record.experiment not in deleted:
                _create(client, root, path, record, tags)
                new += 1
        for key, run in known.items():
            if key not in keys.values():
                _retag(client, run, {CURRENT: "false"})
    for name in sorted(deleted.keys() & {record.experiment for record in records.values()}):
        restore = f"MLFLOW_TRACKING_URI=sqlite:///{DATABASE} mlflow experiments restore -x {deleted[name]}"
        print(f"{name} is not imported, for it was deleted in MLflow; to have it back: {restore}", file=sys.stderr)
    if faults:
        raise ValueError("\n".join(faults))
    return new


def _read(root: Path) -> tuple[dict[Path, RunRecord], list[str]]:
    """Run files by path, and what is wrong with the others."""
    records, faults = {}, []
    for path in sorted(root.glob(run_files.RUN_FILES)):
        try:
            records[path] = run_files.read(path)
        except (ValueError, OSError) as error:
            faults.append(str(error))
    return records, faults


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Wait until no other process imports."""
    with (root / f"{DATABASE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _client(root: Path) -> "MlflowClient":
    """Open the database. A new one is made aside and renamed: a half-migrated one cannot be opened again."""
    from mlflow import MlflowClient

    database = root / DATABASE
    if not database.exists():
        with files.replacing(database) as hidden:
            hidden.unlink(missing_ok=True)
            MlflowClient(f"sqlite:///{hidden.resolve()}").search_experiments()
    return MlflowClient(f"sqlite:///{database.resolve()}")


def _deleted_experiments(client: "MlflowClient") -> dict[str, str]:
    """Ids by name."""
    from mlflow.entities import ViewType

    return {one.name: one.experiment_id for one in client.search_experiments(ViewType.DELETED_ONLY)}


def _known_runs(client: "MlflowClient") -> dict[str, "Run"]:
    """Complete runs by key, also those that were deleted in MLflow; incomplete ones are removed."""
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


def _create(client: "MlflowClient", root: Path, path: Path, record: RunRecord, tags: dict[str, str]) -> None:
    from mlflow.entities import Metric, Param

    now = int(path.stat().st_mtime * 1000)
    experiment = _experiment(client, record.experiment)
    run = client.create_run(experiment, start_time=now, run_name=record.name, tags=tags | {PENDING: "true"})
    run_id = run.info.run_id
    metrics = [Metric(name, value, now, 0) for name, value in sorted(record.metrics.items())]
    metrics += [
        Metric(name, value, now, step) for name, curve in sorted(record.history.items()) for step, value in curve
    ]
    # The sizes that MLflow accepts in one call.
    for some in _chunks(metrics, 1000):
        client.log_batch(run_id, metrics=some)
    params = record.flat_params()
    if long := {name: value for name, value in params.items() if len(value) > LONGEST_PARAM}:
        client.log_dict(run_id, long, LONG_PARAMS)
        params |= {name: _summary(value, LONG_PARAMS) for name, value in long.items()}
    for some in _chunks([Param(*item) for item in sorted(params.items())], 100):
        client.log_batch(run_id, params=some)
    for figure in record.figures:
        if (root / figure).is_file():
            client.log_artifact(run_id, str(root / figure), "figures")
        else:
            print(f"{path}: the figure {figure} is not there; the run goes without it", file=sys.stderr)
    client.set_terminated(run_id, end_time=now)
    client.delete_tag(run_id, PENDING)


def _experiment(client: "MlflowClient", name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    # Relative to where the UI is started, so that the tree can be moved.
    place = f"mlartifacts/{name}"
    return client.create_experiment(name, place, tags={"mlflow.experimentKind": "custom_model_development"})


def _is_active(run: "Run") -> bool:
    return run.info.lifecycle_stage == "active"


def _retag(client: "MlflowClient", run: "Run", tags: Mapping[str, str]) -> None:
    """Bring tags up to date, unless a person has deleted the run."""
    for name, value in tags.items() if _is_active(run) else ():
        if run.data.tags.get(name) != value:
            client.set_tag(run.info.run_id, name, value)


def _key(name: Path, path: Path) -> str:
    return hashlib.sha256(name.as_posix().encode() + b"\0" + path.read_bytes()).hexdigest()[:16]


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _summary(text: str, place: str) -> str:
    """What stands for a text that is too long: its hash, and where all of it is."""
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()}, {len(text)} characters, in {place}"


class _Origins:
    """Where run files come from: git and dvc.lock are asked once for all of them."""

    def __init__(self, root: Path) -> None:
        lock, stages = root / "requirements.lock", root / "dvc.lock"
        self.root = root
        self.environment = {"lock.sha": hashlib.sha256(lock.read_bytes()).hexdigest()[:12]} if lock.is_file() else {}
        self.head = _git(root, "rev-parse", "HEAD").strip()
        tracked = set(_git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", RUNS).split("\0"))
        self.clean = tracked - set(
            _git(root, "diff", "-z", "--name-only", "--relative", "HEAD", "--", RUNS).split("\0")
        )
        self.commits: dict[str, str] = {}
        # Newest commit first: the first that names a file is the one that holds it.
        log = _git(root, "log", "--format=%x01%H", "-z", "--name-only", "--relative", "--", RUNS)
        for entry in log.split("\x01")[1:]:
            commit, *names = entry.split("\0")
            for name in names:
                self.commits.setdefault(name.strip("\n"), commit)
        recorded = yaml.safe_load(stages.read_text(encoding="utf-8"))["stages"] if stages.is_file() else {}
        self.stages: dict[str, dict[str, str]] = {}
        for stage, entry in recorded.items():
            deps = "\n".join(f"{dep['path']} {dep['md5']}" for dep in entry.get("deps", []))
            if len(deps) > run_files.LONGEST_TAG:
                deps = _summary(deps, stages.name)
            for out in entry.get("outs", []):
                self.stages[out["path"]] = {"dvc.stage": stage, "dvc.deps.md5": deps}

    def tags(self, name: Path) -> dict[str, str]:
        """Of one run file: the commit that holds it, the DVC stage that makes it, and what that stage read."""
        own = name.as_posix()
        tags = self.environment | {
            FILE: own,
            "dvc.out.md5": hashlib.md5((self.root / name).read_bytes()).hexdigest(),
        }
        clean = own in self.clean and own in self.commits
        if commit := self.commits[own] if clean else self.head:
            tags |= {"mlflow.source.git.commit": commit, "git.dirty": str(not clean).lower()}
        for place in (own, *(parent.as_posix() for parent in name.parents)):
            if place in self.stages:
                return tags | self.stages[place]
        return tags


def _git(root: Path, *arguments: str) -> str:
    """What git says, or nothing where there is no repository."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
