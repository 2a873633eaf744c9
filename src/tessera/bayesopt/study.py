"""Optimisation by asking and telling, from any number of workers, with or without a journal on disk."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from tessera.bayesopt import propose as proposing
from tessera.bayesopt.journal import Journal, is_stale, leased
from tessera.bayesopt.search import DECIMALS
from tessera.bayesopt.settings import Settings, integer, real
from tessera.bayesopt.space import Space
from tessera.bayesopt.trial import Trial, best, proposed, rows_of


class ToldBeforeError(ValueError):
    """The trial already has an outcome."""


class Optimizer:
    """Minimise over a space: `ask` for trials, evaluate them, `tell` their values; pending trials are known to the
    next.

    space: a Space, or variables by name. method and settings: options of Settings. seed: root of all random
    numbers; trial i depends on it and on what was known when it was asked for. journal: a directory that keeps the
    study, may hold its beginning, and may be shared by processes; threads may share an Optimizer. Raises ValueError if
    an option or the journal is wrong.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        method: str = "bop",
        seed: int = 0,
        journal: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.space = space if isinstance(space, Space) else Space(space)
        unknown = set(settings) - set(Settings.__dataclass_fields__)
        if unknown:
            raise ValueError(
                f"no such setting: {', '.join(unknown)}; expected one of {', '.join(Settings.__dataclass_fields__)}"
            )
        self.settings = Settings(method=method, **settings)  # type: ignore[arg-type]
        self.seed = integer(seed, "seed", 0)
        self._trials: list[Trial] = []
        self._lock = threading.Lock()
        study = {
            "space": self.space.to_json(),
            # Files have their keys sorted, and points of the unit cube their axes in the order of the variables.
            "order": list(self.space.variables),
            "settings": self.settings.to_json(),
            "seed": self.seed,
        }
        self.journal = None if journal is None else Journal(journal, study)
        with self._shared():
            pass  # trials of the journal

    @property
    def trials(self) -> list[Trial]:
        """All trials, by id, as this process last saw them."""
        return list(self._trials)

    def ask(self, n: int = 1) -> list[Trial]:
        """n new trials, each proposed with those before it pending. BLAS has one thread: more are slower here."""
        n = integer(n, "n", 1)
        with self._shared():
            return [self._ask() for _ in range(n)]

    def add(self, params: Mapping[str, Any], kind: str = "baseline") -> Trial:
        """A new trial at a point of the caller's choice. Raises ValueError if it is not in the space."""
        point = self.space.point(params)
        with self._shared():
            return self._write(Trial(id=len(self._trials), params=point, kind=kind))

    def tell(
        self, trial: Trial | int, value: float | None = None, *, feasible: bool = True, failed: str | None = None
    ) -> Trial:
        """Record how a trial ended, and return it.

        value: what is minimised. feasible: whether constraints held. failed: why there is no value. A value that is NaN
        or infinite makes the trial failed; failed trials stay, as infeasible. Raises ValueError if there is no such
        trial or it has ended before.
        """
        number = trial.id if isinstance(trial, Trial) else integer(trial, "trial", 0)
        if value is None and failed is None:
            raise ValueError(f"trial {number}: pass either a value or failed=REASON")
        if failed is None:
            value = real(value, f"trial {number}: value")
        with self._shared():
            if not 0 <= number < len(self._trials):
                raise ValueError(f"trial {number} is unknown; expected 0 to {len(self._trials) - 1}")
            known = self._trials[number]
            if known.finished:
                raise ToldBeforeError(f"trial {number} has been told before: it is {known.state}")
            return self._write(known.ended(value, feasible, failed))

    def claim(self, lease: float = 60.0, limit: int = 0) -> Trial | None:
        """Take a trial that waits, or whose worker is dead, for `lease` seconds.

        If there is none, ask for a new one, as long as there are fewer than `limit`; else return None.
        """
        with self._shared():
            for trial in self._trials:
                if trial.state == "waiting" or is_stale(trial):
                    return self._write(leased(trial, lease))
            return self._write(leased(self._ask(), lease)) if len(self._trials) < limit else None

    def renew(self, trial: Trial, lease: float = 60.0) -> None:
        """Prolong the lease of a trial that is being evaluated."""
        with self._shared():
            known = self._trials[trial.id]
            if known.state == "running" and known.owner == trial.owner:
                self._write(leased(known, lease))

    def release(self, trial: Trial) -> None:
        """Give back a trial that is not evaluated to its end: the next claim takes it at once."""
        with self._shared():
            known = self._trials[trial.id]
            if known.state == "running" and known.owner == trial.owner:
                self._write(replace(known, state="waiting", owner=None, until=None))

    def best(self) -> Trial | None:
        """The feasible trial of least value, the first of equals; None if there is none."""
        return best(self._trials)

    def recommend(self) -> Trial | None:
        """The feasible trial of least posterior mean: if values are noisy, the least of them is biased downwards."""
        return recommended(self.space, self.settings, self.seed, self._trials)

    def _ask(self) -> Trial:
        seen = [trial for trial in self._trials if trial.finished]
        pending = [trial for trial in self._trials if not trial.finished]
        with one_thread():
            trial = proposed(self.space, self.settings, self.seed, len(self._trials), seen, pending)
        return self._write(trial)

    def _write(self, trial: Trial) -> Trial:
        if self.journal:
            self.journal.write(trial)
        self._trials[trial.id : trial.id + 1] = [trial]
        return trial

    @contextmanager
    def _shared(self) -> Iterator[None]:
        """No other thread or process changes the trials meanwhile, and they are as they are on disk."""
        with self._lock:
            if self.journal is None:
                yield
                return
            with self.journal.locked():
                self._trials = self.journal.read()
                yield


_controller: ThreadpoolController | None = None
_one_at_a_time = threading.Lock()


def _renew_lock() -> None:
    """In a forked child, no thread is there that could release it."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS to one thread. Its libraries are sought once.

    The limit is the whole process's, so one thread after the other sets it: the last to leave would otherwise restore
    what another had set.
    """
    global _controller
    with _one_at_a_time:
        if _controller is None:
            _controller = ThreadpoolController()
        with _controller.limit(limits=1, user_api="blas"):
            yield


def recommended(space: Space, settings: Settings, seed: int, trials: Sequence[Trial]) -> Trial | None:
    """The feasible trial of least posterior mean, or of least value as long as there are too few trials for a model."""
    feasible = [trial for trial in trials if trial.state == "done" and trial.feasible]
    if len(feasible) < 2 * space.free:
        return best(trials)
    with one_thread():
        X = rows_of(space, feasible)
        values = np.array([trial.value for trial in feasible], dtype=float)
        y = proposing.standardise(values, settings.transform)
        rng = np.random.default_rng(seed)
        theta = proposing.fit(X, y, settings, np.zeros(0), rng)
        mean = proposing.condition(X, y, theta, X[:0], settings, rng).mean(X)
    return feasible[int(np.argmin(np.round(mean, DECIMALS)))]


@dataclass(frozen=True)
class Replayed:
    """A trial of a journal, proposed once more from what it says it knew."""

    stored: Trial
    again: Trial

    @property
    def same(self) -> bool:
        """Whether both are the same, bit by bit."""
        keys = ("params", "kind", "seen", "pending", "warm", "theta", "seed")
        return all(getattr(self.stored, key) == getattr(self.again, key) for key in keys)


def replay(journal: str | Path) -> list[Replayed]:
    """Propose every trial of a journal again, each from the trials it had seen, except those that were given."""
    study = Journal(journal)
    variables, settings = study.study["space"], Settings(**study.study["settings"])
    space = Space({name: variables[name] for name in study.study["order"]})
    trials = study.read()
    replayed = []
    for trial in trials:
        if trial.seed is None:
            continue
        pending = [trials[number] for number in trial.pending]
        with one_thread():
            seen = [trials[number] for number in trial.seen]
            again = proposed(space, settings, study.study["seed"], trial.id, seen, pending)
        replayed.append(Replayed(trial, again))
    return replayed
