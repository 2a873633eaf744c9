"""Run the workflow, cleaning up stale locks left by a killed run."""

import fcntl
import functools
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tessera.common import processes
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


def follow(arguments: Sequence[str], directory: str | Path, root: str | Path) -> Iterator[str]:
    """Run the workflow of root in another directory; yield what it prints, line by line, and "" every second.

    It ends, with all its jobs, when this process or the loop over it does; the next run resumes it. Raises RuntimeError
    if another run is in progress there, or with the last error that was printed, if the run fails.
    """
    directory, root = Path(directory).absolute(), Path(root).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    with _exclusive(directory):
        if any((directory / bridge.LOCKS).glob("*")):
            yield "unlocking the directory: the last run was interrupted"
            command = _command(["--unlock", *arguments], directory)
            subprocess.run(command, cwd=root, check=False, capture_output=True)
        process = subprocess.Popen(
            _command(arguments, directory),
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=functools.partial(processes.supervise, os.getpid()),
        )
        error = trouble = ""
        try:
            for line in _lines(process):
                error = line.removeprefix("error: ") if line.startswith("error: ") else error
                trouble = line.strip() if "Error" in line else trouble
                yield line
        finally:
            process.terminate()
            process.wait()
    if process.returncode:
        raise RuntimeError(error or trouble or f"snakemake ended with status {process.returncode}")


def _lines(process: subprocess.Popen) -> Iterator[str]:
    """Lines that a process prints until it ends, and "" if there is none for a second."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        rest = b""
        while True:
            if not selector.select(1.0):
                yield ""
                continue
            part = process.stdout.read()
            if part == b"":
                break
            if part is None:  # nothing yet
                continue
            *lines, rest = (rest + part).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
    process.wait()
    yield rest.decode(errors="replace")


def _command(arguments: Sequence[str], directory: Path) -> list[str]:
    where = [] if directory == Path() else ["--directory", str(directory)]
    return [sys.executable, "-m", "snakemake", *where, *arguments]


def _snakemake(arguments: Sequence[str], directory: Path) -> int:
    return subprocess.run(_command(arguments, directory), check=False).returncode


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
