"""Minimise a function: evaluate trials in processes, side by side, with a time limit, until the budget is spent."""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from tessera.bayesopt.space import Space
from tessera.bayesopt.study import Optimizer, ToldBeforeError
from tessera.bayesopt.trial import Trial

#: An objective gets the variables by name, and returns a value, or a value and whether constraints held.
Objective = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Result:
    """The best trial (None where all failed), and all."""

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
    **options: Any,
) -> Result:
    """Minimise f over a space with some evaluations, those of the journal included.

    workers: evaluations at a time. timeout: seconds after which one is stopped and recorded as failed. initial: points
    that are evaluated first, where the study is new. options: those of Optimizer. Each evaluation is a process of its
    own; one that raises, dies, or returns no number is recorded as failed, and the study goes on. Several calls, on any
    host, may share a journal; trials of dead ones are taken over. The order in which evaluations end decides what
    proposals know, so that runs with more workers differ; each can be proven by `replay`.
    """
    if evaluations < 1 or workers < 1 or (timeout is not None and timeout <= 0):
        raise ValueError(
            f"evaluations = {evaluations}, workers = {workers}, timeout = {timeout}; valid are numbers above 0"
        )
    optimizer = Optimizer(space, **options)
    if not optimizer.trials:
        for point in initial:
            optimizer.add(point)
    running: dict[Connection, _Evaluation] = {}
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
            alarm = min([lease / 4, *(one.left() for one in running.values())])
            ready = wait(list(running), max(alarm, 0.0))
            for pipe, evaluation in list(running.items()):
                if pipe in ready or evaluation.left() <= 0:
                    del running[pipe]
                    with contextlib.suppress(ToldBeforeError):  # its lease had ended, and another was faster
                        optimizer.tell(evaluation.trial, **evaluation.end())
                elif evaluation.renewed + lease / 4 < time.monotonic():
                    optimizer.renew(evaluation.trial, lease)
                    evaluation.renewed = time.monotonic()
    finally:
        for evaluation in running.values():
            evaluation.stop()


class _Evaluation:
    """A process that evaluates one trial."""

    def __init__(self, f: Objective, trial: Trial, timeout: float | None) -> None:
        # Forked, so that f may be any callable; the child has no use for locks that other threads held.
        context = multiprocessing.get_context("fork")
        self.trial, self.timeout = trial, timeout
        self.started = self.renewed = time.monotonic()
        self.pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_evaluate, args=(f, trial.params, theirs), daemon=False)
        self._process.start()
        theirs.close()

    def left(self) -> float:
        """Seconds until the time limit."""
        return float("inf") if self.timeout is None else self.started + self.timeout - time.monotonic()

    def end(self) -> dict[str, Any]:
        """Arguments of tell."""
        try:
            outcome = self.pipe.recv() if self.pipe.poll() else {"failed": f"no answer within {self.timeout} s"}
        except EOFError:
            self._process.join()
            outcome = {"failed": f"the process ended with exit status {self._process.exitcode}"}
        self.stop()
        return outcome

    def stop(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self.pipe.close()


def _evaluate(f: Objective, params: dict[str, Any], pipe: Connection) -> None:
    try:
        answer = f(dict(params))
        value, feasible = answer if isinstance(answer, tuple) else (answer, True)
        outcome: dict[str, Any] = {"value": float(value), "feasible": bool(feasible)}
    except Exception as error:  # whatever an objective raises is a result of the study
        outcome = {"failed": f"{type(error).__name__}: {error}"}
    pipe.send(outcome)
