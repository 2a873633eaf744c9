"""Minimise a function: evaluate trials in parallel processes, with a time limit, until the budget is spent."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from tessera.bayesopt.settings import real
from tessera.bayesopt.space import Space
from tessera.bayesopt.study import Optimizer, ToldBeforeError
from tessera.bayesopt.trial import Trial, printable
from tessera.common import processes

#: An objective gets the variables by name, and returns a value, or a value and whether constraints held.
Objective = Callable[[dict[str, Any]], Any]

_log = logging.getLogger(__name__)


class ObjectiveError(RuntimeError):
    """The objective fails again and again."""


@dataclass(frozen=True)
class Result:
    """The best trial (None if no evaluation succeeded), and all."""

    best: Trial | None
    trials: list[Trial]


def minimize(
    f: Objective,
    space: Space | Mapping[str, Any],
    evaluations: int,
    *,
    workers: int = 1,
    timeout: float | None = None,
    lease: float = 60.0,
    initial: tuple[Mapping[str, Any], ...] = (),
    max_failures_in_a_row: int | None = 15,
    **options: Any,
) -> Result:
    """Minimise f over a space with some evaluations, including those of the journal.

    workers: evaluations at a time. timeout: seconds after which one is stopped and recorded as failed. initial: points
    that are evaluated first, if the study is new. options: those of Optimizer. Each evaluation is a process of its
    own, which ends with all that it has started: after its answer, at the time limit, and with this process, however
    that ends. Several calls, on any host, may share a journal; trials of dead ones are taken over. The order in which
    evaluations end decides what proposals know, so that runs with more workers differ; each can be proven by `replay`.

    An evaluation that raises, dies, or returns no number is recorded as failed, and the study continues; the first such
    error is logged with its traceback. Raises ObjectiveError, naming it, if max_failures_in_a_row evaluations fail one
    after the other, None: never. Points that are merely infeasible are no failures if f returns (value, False).
    """
    if evaluations < 1 or workers < 1 or (timeout is not None and timeout <= 0):
        raise ValueError(f"evaluations = {evaluations}, workers = {workers}, timeout = {timeout}; all must be above 0")
    if max_failures_in_a_row is not None and max_failures_in_a_row < 1:
        raise ValueError(f"max_failures_in_a_row = {max_failures_in_a_row}; expected an integer from 1, or None")
    optimizer = Optimizer(space, **options)
    if not optimizer.trials:
        for point in initial:
            optimizer.add(point)
    failures = _Failures(max_failures_in_a_row)
    running: dict[Connection, _Evaluation] = {}
    with _stopping_at_sigterm():
        try:
            while True:
                while len(running) < workers and (trial := optimizer.claim(lease, limit=evaluations)):
                    evaluation = _Evaluation(f, trial, timeout)
                    running[evaluation.pipe] = evaluation
                if not running:
                    if all(trial.finished for trial in optimizer.trials[:evaluations]):
                        return Result(optimizer.best(), optimizer.trials)
                    time.sleep(min(1.0, lease / 4))  # the rest is evaluated by others, who may die
                    continue
                alarm = min([lease / 4, *(evaluation.left() for evaluation in running.values())])
                ready = wait(list(running), max(alarm, 0.0))
                for pipe, evaluation in list(running.items()):
                    if pipe in ready or evaluation.left() <= 0:
                        answer = evaluation.end()
                        with contextlib.suppress(ToldBeforeError):  # its lease had ended, and another was faster
                            failures.count(optimizer.tell(evaluation.trial, **answer), evaluation.trace)
                        del running[pipe]
                    elif evaluation.renewed + lease / 4 < time.monotonic():
                        optimizer.renew(evaluation.trial, lease)
                        evaluation.renewed = time.monotonic()
        finally:
            for evaluation in running.values():
                evaluation.stop()
                optimizer.release(evaluation.trial)


class _Failures:
    """Failures without a success between them."""

    def __init__(self, limit: int | None) -> None:
        self._limit, self._row = limit, 0
        self._first: str | None = None

    def count(self, trial: Trial, trace: str) -> None:
        """Log the first failure of all. Raises ObjectiveError at the limit."""
        if trial.state != "failed":
            self._row = 0
            return
        self._row += 1
        if self._first is None:
            self._first = f"trial {trial.id} with {trial.params}: {trial.error}"
            _log.warning("%s", printable(f"the objective failed, first in {self._first}\n{trace}".rstrip()))
        if self._row == self._limit:
            raise ObjectiveError(
                f"{self._row} evaluations in a row failed, the first failure was {self._first}. "
                "Mend the objective, return (value, False) for infeasible points, or raise max_failures_in_a_row"
            )


class _Terminated(BaseException):
    """SIGTERM came."""


@contextlib.contextmanager
def _stopping_at_sigterm() -> Iterator[None]:
    """Leave the block in good order when SIGTERM comes, and then end by it, unless the program has its own way."""
    in_thread = threading.current_thread() is not threading.main_thread()
    if in_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough
        raise _Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Evaluation:
    """A process that evaluates one trial."""

    def __init__(self, f: Objective, trial: Trial, timeout: float | None) -> None:
        # Forked, so that f may be any callable; the child has no use for locks that other threads held.
        context = multiprocessing.get_context("fork")
        self.trial, self.timeout, self.trace = trial, timeout, ""
        self.started = self.renewed = time.monotonic()
        self.pipe, theirs = context.Pipe(duplex=False)
        arguments = (f, trial.params, theirs, os.getpid())
        self._process = context.Process(target=_evaluate, args=arguments, daemon=False)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, processes.SIGNALS)  # in the child they wait for `supervise`
        self._process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def left(self) -> float:
        """Seconds until the time limit."""
        return float("inf") if self.timeout is None else self.started + self.timeout - time.monotonic()

    def end(self) -> dict[str, Any]:
        """Arguments of tell."""
        try:
            if self.pipe.poll():
                outcome, self.trace = self.pipe.recv()
            else:
                outcome = {"failed": f"no answer within {self.timeout} s"}
        except (EOFError, OSError):  # it died, perhaps while it sent its answer
            self._process.join()
            outcome = {"failed": f"the process ended with exit status {self._process.exitcode}"}
        self.stop()
        return outcome

    def stop(self) -> None:
        """End the process and all that it has started."""
        self._process.terminate()
        self._process.join()
        self.pipe.close()


def _evaluate(f: Objective, params: dict[str, Any], pipe: Connection, parent: int) -> None:
    processes.supervise(parent)
    trace = ""
    try:
        answer = f(dict(params))
        value, feasible = answer if isinstance(answer, tuple) else (answer, True)
        outcome: dict[str, Any] = {"value": real(value, "value"), "feasible": bool(feasible)}
    except Exception as error:  # whatever an objective raises is a result of the study
        outcome, trace = {"failed": f"{type(error).__name__}: {error}"}, traceback.format_exc()
    pipe.send((outcome, trace))
