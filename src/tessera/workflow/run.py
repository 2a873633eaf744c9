"""Run the workflow, cleaning up stale locks left by a killed run."""

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

    Raises RuntimeError if another run is in progress there.
    """
    directory = Path(directory)
    with _exclusive(directory):
        if any((directory / bridge.LOCKS).glob("*")):
            print("unlocking the directory: the last run was interrupted", file=sys.stderr)
            _snakemake(["--unlock", *arguments], directory)
        return _snakemake(arguments, directory)


def _snakemake(arguments: Sequence[str], directory: Path) -> int:
    where = [] if directory == Path() else ["--directory", str(directory)]
    return subprocess.run([sys.executable, "-m", "snakemake", *where, *arguments], check=False).returncode


@contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, which the system frees when its holder dies; wait for jobs that a killed run left."""
    lock = directory / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another run is in progress in {directory.resolve()}; wait for it to finish") from None
        if others := _processes(directory, "snakemake"):
            raise RuntimeError(
                f"snakemake is running in {directory.resolve()} (process {others[0].pid}); wait for it to finish"
            )
        waiting = False
        while orphans := _processes(directory, ".stages."):
            if not waiting:
                print(f"waiting for process {orphans[0].pid}, left by a killed run", file=sys.stderr)
            waiting = True
            time.sleep(0.5)
        yield


def _processes(directory: Path, text: str) -> list[psutil.Process]:
    """Processes in the directory whose command line contains text, except this one and its ancestors."""
    family = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    here = directory.resolve()
    processes = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if process.pid not in family and text in command and Path(process.cwd()) == here:
                processes.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue  # ended in the meantime, or belongs to another user
    return processes
