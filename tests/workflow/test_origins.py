"""Where runs come from: times of their jobs, hashes of their data sets, the commits that hold them."""

import hashlib
import os
import subprocess
from pathlib import Path

from tracked_runs import FILE, OTHER, runs, write

from tessera.workflow import pipeline, readme, tracking


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_run_has_the_times_of_its_job(root: Path) -> None:
    benchmark = root / readme.BENCHMARKS / "puzzle_library/3.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\n10.5\t0:00:10\n2.0\t0:00:02\n")
    os.utime(benchmark, (2000, 2000))
    write(root, {}, {"name": "another", "job": "puzzle_library/4"})
    os.utime(root / FILE, (3000, 3000))
    tracking.sync(root)
    times = {run.info.run_name: (run.info.start_time, run.info.end_time) for run in runs(root)}
    assert times == {"layer 3, kv1": (1_987_500, 2_000_000), "another": (3_000_000, 3_000_000)}


def test_data_sets_with_their_hashes(root: Path) -> None:
    def lock(tokens: str) -> None:
        entry = f"schema: '2.0'\nstages:\n  data:\n    cmd: x\n    outs:\n    - {{path: data/tokens, md5: {tokens}}}\n"
        (root / "dvc.lock").write_text(entry)

    def shown() -> list[tuple[str, str]]:
        [run] = [run for run in runs(root) if run.data.tags["current"] == "true"]
        return sorted((entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs)

    lock("1a.dir")
    write(root, {"inputs": ["data/tokens/train.npy", "data/unknown"]})
    tracking.sync(root)
    assert shown() == [("data/tokens/train.npy", "1a.dir")]
    # A run in progress has written another stream, which is not in dvc.lock yet.
    (root / pipeline.UNRECORDED).parent.mkdir()
    (root / pipeline.UNRECORDED).write_text("data")
    write(root, {})
    tracking.sync(root)
    assert shown() == []
    (root / pipeline.UNRECORDED).unlink()
    lock("2b.dir")
    tracking.sync(root)
    tracking.sync(root)
    assert shown() == [("data/tokens", "2b.dir")]


LOCK = """schema: '2.0'
stages:
  puzzle_library:
    cmd: x
    deps:
    - {{path: data/a, md5: 1a}}
    - {{path: data/b, md5: 2b.dir}}
    outs:
    - {{path: reports/runs/puzzle.jsonl, md5: {md5}}}
"""


def test_commit_and_stage(root: Path) -> None:
    (root / "dvc.lock").write_text(LOCK.format(md5="3c"))
    git(root, "init", "-q")
    git(root, "add", FILE)
    git(root, "commit", "-q", "-m", "results")
    commit = git(root, "rev-parse", "HEAD")
    git(root, "commit", "-q", "--allow-empty", "-m", "later")
    tracking.sync(root)
    [run] = runs(root)
    assert run.data.tags["mlflow.source.git.commit"] == commit
    assert run.data.tags["git.dirty"] == "false"
    assert run.data.tags["dvc.stage"] == "puzzle_library"
    assert run.data.tags["dvc.deps.md5"] == "data/a 1a\ndata/b 2b.dir"
    write(root, {"metrics": {"loss": 0.4}})
    tracking.sync(root)
    newest = next(run for run in runs(root) if run.data.tags["current"] == "true")
    assert newest.data.tags["git.dirty"] == "true"
    assert newest.data.tags["mlflow.source.git.commit"] == git(root, "rev-parse", "HEAD")


def test_commit_of_a_file_that_dvc_holds(root: Path) -> None:
    """The commit is the one that put the file's hash into dvc.lock."""

    def tags() -> dict[str, str]:
        tracking.sync(root)
        return next(run.data.tags for run in runs(root) if run.data.tags["current"] == "true")

    git(root, "init", "-q")
    (root / "dvc.lock").write_text(LOCK.format(md5=hashlib.md5((root / FILE).read_bytes()).hexdigest()))
    git(root, "add", "dvc.lock")
    git(root, "commit", "-q", "-m", "results")
    commit = git(root, "rev-parse", "HEAD")
    (root / "dvc.lock").write_text((root / "dvc.lock").read_text() + "  later:\n    cmd: y\n")
    git(root, "commit", "-q", "-a", "-m", "later")
    assert (tags()["mlflow.source.git.commit"], tags()["git.dirty"]) == (commit, "false")
    write(root, {"metrics": {"loss": 0.4}})  # by a run that is not in dvc.lock yet
    assert (tags()["mlflow.source.git.commit"], tags()["git.dirty"]) == (git(root, "rev-parse", "HEAD"), "true")


def test_each_file_has_the_commit_that_changed_it_last(root: Path) -> None:
    write(root, {}, file=OTHER)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "both")
    first = git(root, "rev-parse", "HEAD")
    write(root, {"note": "Again."})
    git(root, "commit", "-q", "-a", "-m", "again")
    second = git(root, "rev-parse", "HEAD")
    new = OTHER.replace("peers", "tasks")
    write(root, {}, file=new)
    tracking.sync(root)
    tags = {run.data.tags["run.file"]: run.data.tags for run in runs(root)}
    assert tags[OTHER]["mlflow.source.git.commit"] == first
    assert tags[FILE]["mlflow.source.git.commit"] == second
    assert {tags[OTHER]["git.dirty"], tags[FILE]["git.dirty"]} == {"false"}
    assert tags[new]["git.dirty"] == "true"
