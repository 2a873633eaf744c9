"""Run the workflow, whatever became of the run before: a killed one leaves locks behind that nobody holds."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tessera.workflow import bridge

LOCK = Path(".snakemake/run.lock")


def run(arguments: Sequence[str] = (), directory: str | Path = ".") -> int:
    """Call snakemake in the directory and return its exit status.

    Raises RuntimeError where another run is at work there.
    """
    directory = Path(directory)
    with _alone(directory):
        if any((directory / bridge.LOCKS).glob("*")):
            print("unlocking the directory: the last run was cut short", file=sys.stderr)
            _snakemake(["--unlock", *arguments], directory)
        return _snakemake(arguments, directory)


def _snakemake(arguments: Sequence[str], directory: Path) -> int:
    where = [] if directory == Path() else ["--directory", str(directory)]
    return subprocess.run([sys.executable, "-m", "snakemake", *where, *arguments], check=False).returncode


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, which the system frees when its holder dies, and wait for what killed runs left."""
    lock = directory / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another run is at work in {directory.resolve()}; wait for it") from None
        if others := _at_work(directory, "snakemake"):
            raise RuntimeError(f"snakemake is at work in {directory.resolve()} (process {others[0].pid}); wait for it")
        waited = False
        while orphans := _at_work(directory, ".stages."):
            if not waited:
                print(f"waiting for process {orphans[0].pid}, left by a run that was killed", file=sys.stderr)
            waited = True
            time.sleep(0.5)
        yield


def _at_work(directory: Path, what: str) -> list[psutil.Process]:
    """Processes in the directory, but this one and those it descends from, whose command line speaks of `what`."""
    family = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    here = directory.resolve()
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if process.pid not in family and what in command and Path(process.cwd()) == here:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue  # ended meanwhile, or another user's
    return found
