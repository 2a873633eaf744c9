"""A study on disk: one JSON file per trial, written whole or not at all, shared by any number of processes.

    DIRECTORY/study.json         space and the order of its variables, settings, seed, and the version of the rules
    DIRECTORY/trial_00007.json   a Trial: waiting, running under a lease, done or failed
    DIRECTORY/lock               held while trials are read and written together

There is no database that could stay locked: the lock is the kernel's, and goes with the process that held it.
"""

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tessera.bayesopt.trial import Trial
from tessera.common import files

#: Version of the rules that proposals follow: a study is continued and replayed by those that it was begun with.
RULES = 2
_NAME = re.compile(r"trial_(\d{5,})\.json")


class Journal:
    """The files of one study. study is what makes it that study: plain data, compared when a journal is opened again.

    Raises ValueError, naming the file, if the directory holds another study, if a trial is there twice or if a file
    is not a trial.
    """

    def __init__(self, path: str | Path, study: dict[str, Any] | None = None) -> None:
        self.path = Path(path)
        self._finished: dict[int, Trial] = {}
        file = self.path / "study.json"
        if study is None:
            self.study = self._begun(file)
            return
        self.study = {"rules": RULES, **study}
        with self.locked():
            if not file.exists():
                files.write_json(file, self.study)
            elif (there := self._begun(file)) != self.study:
                names = sorted(key for key in {*there, *self.study} if there.get(key) != self.study.get(key))
                raise ValueError(
                    f"{file}: another study, whose {', '.join(names)} differ; expected the same or an empty directory"
                )

    @staticmethod
    def _begun(file: Path) -> dict[str, Any]:
        """What study.json says. Raises ValueError if the study was begun with other rules for proposals."""
        there = files.read_json(file)
        rules = there.get("rules", 1) if isinstance(there, dict) else None
        if rules != RULES:
            raise ValueError(
                f"{file}: rules = {rules}: the study was begun by a version of this package whose proposals differ;"
                f" expected {RULES}. Continue or replay it with that version, or begin in an empty directory"
            )
        there.setdefault("order", list(there["space"]))  # earlier journals have none, and theirs is the sorted one
        return there

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other thread or process reads and writes."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:  # closing is not enough: a child that was forked meanwhile has the file open
                fcntl.flock(lock, fcntl.LOCK_UN)

    def read(self) -> list[Trial]:
        """All trials, by id. Finished ones are read once."""
        trials: dict[int, Trial] = {}
        for path in sorted(self.path.glob("trial_*")):
            match = _NAME.fullmatch(path.name)
            if not match:
                raise ValueError(
                    f"{path}: is a copy of a trial, or not a trial; expected a name such as trial_00007.json"
                )
            number = int(match[1])
            trial = self._finished.get(number) or Trial.from_json(files.read_json(path), str(path))
            if trial.id != number or number in trials:
                raise ValueError(f"{path}: holds trial {trial.id}, which is there twice; remove the copy")
            trials[number] = trial
            if trial.finished:
                self._finished[number] = trial
        if sorted(trials) != list(range(len(trials))):
            missing = sorted(set(range(max(trials) + 1)) - set(trials))
            raise ValueError(f"{self.path}: trials {missing} are missing between others; restore them")
        return [trials[number] for number in sorted(trials)]

    def write(self, trial: Trial) -> None:
        """Write a trial in place of what there was of it."""
        files.write_json(self.path / f"trial_{trial.id:05d}.json", trial.to_json())


def me() -> str:
    """Name of this process among those that share a journal."""
    return f"{socket.gethostname()}:{os.getpid()}"


def leased(trial: Trial, seconds: float, owner: str | None = None) -> Trial:
    """The trial, running, with a lease of some seconds from now."""
    return replace(trial, state="running", owner=owner or me(), until=time.time() + seconds)


def is_stale(trial: Trial) -> bool:
    """Whether a running trial's lease has ended, or its owner, on this host, is dead."""
    if trial.state != "running":
        return False
    if trial.until is None or trial.until < time.time():
        return True
    host, _, pid = (trial.owner or "").rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and is another user's
        return False
    return False
