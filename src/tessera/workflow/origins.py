"""Provenance of run files from git, dvc.lock and Snakemake's benchmark files, each read once for all of them."""

import csv
import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tessera.common import run_files
from tessera.workflow import pipeline, readme

RUNS = Path(run_files.RUN_FILES).parent.as_posix()


@dataclass(frozen=True)
class _Output:
    """An output of a DVC stage."""

    stage: str
    md5: str
    deps: str
    """Paths and hashes of the stage's deps."""


class Origins:
    """What git, DVC and Snakemake record about the run files below root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        requirements = root / "requirements.lock"
        self.environment: dict[str, str] = {}
        if requirements.is_file():
            self.environment = {"lock.sha": hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}
        self.head = _git(root, "rev-parse", "HEAD").strip()
        self.tracked = set(_git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", RUNS).split("\0"))
        lock = pipeline.LOCK.as_posix()
        self.changed = set(_git(root, "diff", "-z", "--name-only", "--relative", "HEAD", "--", RUNS, lock).split("\0"))
        self.commits: dict[str, str] = {}
        # Newest commit first, so the first to list a file is the one that last changed it.
        log = _git(root, "log", "--format=%x01%H", "-z", "--name-only", "--relative", "--", RUNS)
        for entry in log.split("\x01")[1:]:
            commit, *names = entry.split("\0")
            for name in names:
                self.commits.setdefault(name.strip("\n"), commit)
        self.outputs: dict[str, _Output] = {}
        #: Hashes of deps and outs, except outs that dvc.lock records from an earlier run.
        self.digests: dict[str, str] = {}
        self._read_lock()

    def _read_lock(self) -> None:
        path = self.root / pipeline.LOCK
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}
        for name, entry in stages.items():
            deps = "\n".join(f"{dep['path']} {dep['md5']}" for dep in entry.get("deps", []))
            if len(deps) > run_files.LONGEST_TAG:
                deps = summary(deps, path.name)
            for out in entry.get("outs", []):
                self.outputs[out["path"]] = _Output(name, out["md5"], deps)
            for dep in entry.get("deps", []):
                self.digests[dep["path"]] = dep["md5"]
        unrecorded = pipeline.noted(self.root)
        for name, output in self.outputs.items():
            if unrecorded is None or output.stage in unrecorded:
                self.digests.pop(name, None)
            else:
                self.digests[name] = output.md5

    def tags(self, path: Path) -> dict[str, str]:
        """Return the tags of a run file: its commit, the DVC stage that writes it, and the deps of that stage."""
        name = path.as_posix()
        md5 = hashlib.md5((self.root / path).read_bytes()).hexdigest()
        tags = self.environment | {"dvc.out.md5": md5}
        output = next((self.outputs[place] for place in _around(path) if place in self.outputs), None)
        if commit := self._commit(name, md5):
            tags |= {"mlflow.source.git.commit": commit, "git.dirty": "false"}
        elif self.head:
            tags |= {"mlflow.source.git.commit": self.head, "git.dirty": "true"}
        return tags | ({"dvc.stage": output.stage, "dvc.deps.md5": output.deps} if output else {})

    def _commit(self, name: str, md5: str) -> str:
        """Return the commit that contains a run file, or its hash in dvc.lock; empty if there is none."""
        if name in self.tracked:
            return "" if name in self.changed else self.commits.get(name, "")
        lock = pipeline.LOCK.as_posix()
        if name not in self.outputs or self.outputs[name].md5 != md5 or lock in self.changed:
            return ""
        return _git(self.root, "log", "-1", f"-S{md5}", "--format=%H", "--", lock).strip()

    def digest(self, path: str) -> str | None:
        """Return the hash of a data set that a run read, or of a folder containing it; None if dvc.lock has neither."""
        return next((self.digests[place] for place in _around(Path(path)) if place in self.digests), None)

    def times(self, job: str, path: Path) -> tuple[int, int]:
        """Return a job's start and end in ms; both are when the run file was written if there is no benchmark file."""
        benchmark = self.root / readme.BENCHMARKS / f"{job}.tsv"
        if not benchmark.is_file():
            written = int((self.root / path).stat().st_mtime * 1000)
            return written, written
        with benchmark.open(encoding="utf-8", newline="") as file:
            seconds = sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
        end = benchmark.stat().st_mtime
        return int((end - seconds) * 1000), int(end * 1000)


def summary(text: str, place: str) -> str:
    """Return a short stand-in for a long text: its hash, its length, and the file that holds all of it."""
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()}, {len(text)} characters, in {place}"


def _around(path: Path) -> Iterator[str]:
    """Yield a path and the folders that contain it."""
    yield from (place.as_posix() for place in (path, *path.parents))


def _git(root: Path, *arguments: str) -> str:
    """Return what git prints; empty outside a repository."""
    result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return result.stdout if result.returncode == 0 else ""
