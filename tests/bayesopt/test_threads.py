"""Threads and processes that share a study: no trial is lost, none is handed out twice."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from tessera.bayesopt import Float, Optimizer, replay
from tessera.bayesopt.journal import Journal
from tessera.bayesopt.study import one_thread

SPACE = {"a": Float(low=0.0, high=1.0), "b": Float(low=0.0, high=1.0)}


@pytest.mark.parametrize("journal", [False, True])
def test_threads_share_an_optimizer(tmp_path: Path, journal: bool) -> None:
    optimizer = Optimizer(SPACE, journal=tmp_path if journal else None)

    def work(_: int) -> int:
        (trial,) = optimizer.ask()
        return optimizer.tell(trial, sum(trial.params.values())).id

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(work, range(24)))
    assert sorted(numbers) == list(range(24))
    trials = optimizer.trials
    assert [trial.id for trial in trials] == list(range(24))
    assert all(trial.state == "done" for trial in trials)
    assert len({tuple(trial.params.values()) for trial in trials}) == 24
    if journal:
        assert Journal(tmp_path).read() == trials
        assert all(one.same for one in replay(tmp_path))


def test_threads_with_optimizers_of_their_own_share_a_journal(tmp_path: Path) -> None:
    def work(_: int) -> list[int]:
        optimizer = Optimizer(SPACE, journal=tmp_path)
        done = []
        while trial := optimizer.claim(limit=12):
            optimizer.renew(trial)
            done.append(optimizer.tell(trial, sum(trial.params.values())).id)
        return done

    with ThreadPoolExecutor(3) as pool:
        numbers = [number for found in pool.map(work, range(3)) for number in found]
    assert sorted(numbers) == list(range(12))


def test_a_child_that_was_forked_meanwhile_does_not_keep_the_journal(tmp_path: Path) -> None:
    """As an evaluation does that one thread starts while another proposes."""
    optimizer = Optimizer(SPACE, journal=tmp_path)
    assert optimizer.journal
    release, hold = os.pipe()
    with optimizer.journal.locked():
        child = os.fork()
        if not child:
            os.close(hold)
            os.read(release, 1)
            os._exit(0)
    asked = threading.Thread(target=optimizer.ask, daemon=True)
    asked.start()
    asked.join(20)
    os.close(hold)
    os.waitpid(child, 0)
    assert not asked.is_alive()


def test_blas_is_as_before_when_threads_overlap() -> None:
    def threads() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    inside = threading.Event()

    def first() -> None:
        with one_thread():
            inside.set()
            time.sleep(0.2)

    before = threads()
    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(20)
    with one_thread():
        thread.join(0.4)
        assert threads() == {1}
    thread.join()
    assert threads() == before
