"""Asking and telling: order, faults, the journal and its replay."""

import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tessera.bayesopt import Categorical, Float, Int, Optimizer, propose, replay
from tessera.bayesopt.journal import Journal, is_stale, leased
from tessera.bayesopt.trial import Trial
from tessera.common import files

SPACE = {"a": Float(low=-1.0, high=2.0), "b": Float(low=1e-3, high=1.0, log=True)}


def loss(params: dict) -> float:
    return (params["a"] - 0.5) ** 2 + math.log(params["b"] / 0.05) ** 2


def run(optimizer: Optimizer, rounds: int, n: int = 3) -> list[Trial]:
    for _ in range(rounds):
        for trial in optimizer.ask(n):
            optimizer.tell(trial, loss(trial.params))
    return optimizer.trials


def test_the_same_seed_gives_the_same_trials() -> None:
    once, again, other = (run(Optimizer(SPACE, seed=seed), 5) for seed in (1, 1, 2))
    assert once == again
    assert [trial.params for trial in once] != [trial.params for trial in other]


def test_it_finds_a_minimum() -> None:
    optimizer = Optimizer(SPACE)
    run(optimizer, 9)
    best, recommended = optimizer.best(), optimizer.recommend()
    assert best is not None
    assert recommended is not None
    assert loss(best.params) < 0.02
    assert loss(recommended.params) < 0.05


def test_a_batch_knows_what_is_pending() -> None:
    optimizer = Optimizer(SPACE)
    run(optimizer, 2)
    trials = optimizer.ask(3)
    assert [trial.pending for trial in trials] == [(), (6,), (6, 7)]
    assert all(trial.seen == tuple(range(6)) for trial in trials)


def test_integers_and_choices() -> None:
    space = {"n": Int(low=1, high=8), "kind": Categorical(choices=("x", "y", "z")), "r": Float(low=0.0, high=1.0)}
    optimizer = Optimizer(space, seed=0)
    for _ in range(25):
        (trial,) = optimizer.ask()
        params = trial.params
        assert isinstance(params["n"], int)
        optimizer.tell(trial, abs(params["n"] - 3) + (params["kind"] != "y") + (params["r"] - 0.5) ** 2)
    best = optimizer.best()
    assert best is not None
    assert (best.params["n"], best.params["kind"]) == (3, "y")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e200])
def test_values_that_are_no_numbers_are_failures(value: float) -> None:
    optimizer = Optimizer(SPACE)
    (trial,) = optimizer.ask()
    told = optimizer.tell(trial, value)
    assert (told.state, told.value, told.feasible) == ("failed", None, False)
    assert told.error is not None
    assert "valid is a finite number" in told.error
    run(optimizer, 4)
    assert optimizer.best() is not None


def test_faults_of_callers() -> None:
    optimizer = Optimizer(SPACE)
    (trial,) = optimizer.ask()
    with pytest.raises(ValueError, match="trial 1 is unknown; expected 0 to 0"):
        optimizer.tell(1, 0.0)
    with pytest.raises(ValueError, match="pass either a value or failed=REASON"):
        optimizer.tell(trial)
    optimizer.tell(trial, 1.0)
    with pytest.raises(ValueError, match="trial 0 has been told before: it is done"):
        optimizer.tell(trial, 1.0)
    with pytest.raises(ValueError, match="n = 0"):
        optimizer.ask(0)
    with pytest.raises(ValueError, match="no such setting: roh; expected one of method"):
        Optimizer(SPACE, roh=1)
    with pytest.raises(ValueError, match="seed = -1"):
        Optimizer(SPACE, seed=-1)
    with pytest.raises(ValueError, match=r"a = 3\.0; expected a number"):
        optimizer.add({"a": 3.0, "b": 0.1})


def test_the_best_is_feasible() -> None:
    optimizer = Optimizer(SPACE)
    assert optimizer.best() is None
    for value, feasible in ((1.0, True), (0.0, False), (2.0, True)):
        optimizer.tell(optimizer.ask()[0], value, feasible=feasible)
    best = optimizer.best()
    assert best is not None
    assert best.value == 1.0


def test_blas_is_held_to_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(*arguments: object) -> object:
        seen.extend(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        return original(*arguments)

    original = propose.propose
    monkeypatch.setattr(propose, "propose", spy)
    Optimizer(SPACE).ask()
    assert seen
    assert set(seen) == {1}


def test_a_journal_is_taken_up_and_replayed(tmp_path: Path) -> None:
    whole = run(Optimizer(SPACE, seed=4, journal=tmp_path / "whole"), 5)
    run(Optimizer(SPACE, seed=4, journal=tmp_path / "parts"), 2)
    again = run(Optimizer(SPACE, seed=4, journal=tmp_path / "parts"), 3)
    assert again == whole
    replayed = replay(tmp_path / "parts")
    assert len(replayed) == 15
    assert all(one.same for one in replayed)


def test_replay_sees_what_was_altered(tmp_path: Path) -> None:
    run(Optimizer(SPACE, journal=tmp_path), 4)
    path = tmp_path / "trial_00002.json"
    content = files.read_json(path)
    files.write_json(path, content | {"value": content["value"] + 1.0})
    same = [one.same for one in replay(tmp_path)]
    # Not those that saw it before there was a model: they are uniform.
    assert same == [True] * 6 + [False] * 6


def test_an_asynchronous_study_replays(tmp_path: Path) -> None:
    """Four workers whose evaluations end in any order."""
    rng = np.random.default_rng(0)
    optimizer = Optimizer(SPACE, seed=1, journal=tmp_path)
    running = optimizer.ask(4)
    for _ in range(20):
        trial = running.pop(int(rng.integers(len(running))))
        optimizer.tell(trial, loss(trial.params))
        running += optimizer.ask()
    replayed = replay(tmp_path)
    assert len(replayed) == 24
    assert all(one.same for one in replayed)
    assert len({one.stored.pending for one in replayed}) > 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / "trial_00001.json").write_text('{"id": 1'), "trial_00001.json: truncated"),
        (lambda d: (d / "trial_00001.json").write_text("[]"), "is not a trial; expected the keys"),
        (lambda d: (d / "trial_00001.json").unlink(), r"trials \[1\] are missing"),
        (lambda d: (d / "trial_00003.json").write_bytes((d / "trial_00001.json").read_bytes()), "is there twice"),
        (lambda d: (d / "trial_00001 copy.json").write_text("{}"), "is a copy of a trial"),
        (
            lambda d: files.write_json(
                d / "trial_00001.json", files.read_json(d / "trial_00001.json") | {"state": "lost"}
            ),
            "state = 'lost'; expected one of waiting, running, done, failed",
        ),
    ],
)
def test_faults_of_journals_are_named(tmp_path: Path, change: object, message: str) -> None:
    run(Optimizer(SPACE, journal=tmp_path), 1)
    change(tmp_path)  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        Optimizer(SPACE, journal=tmp_path)


def test_a_journal_of_another_study_is_refused(tmp_path: Path) -> None:
    Optimizer(SPACE, seed=1, journal=tmp_path)
    with pytest.raises(ValueError, match="another study, whose seed, settings differ"):
        Optimizer(SPACE, seed=2, rho=0.7, journal=tmp_path)


def test_a_journal_of_other_rules_is_refused(tmp_path: Path) -> None:
    """Its proposals would differ: neither continued nor replayed in silence."""
    run(Optimizer(SPACE, journal=tmp_path), 1)
    study = files.read_json(tmp_path / "study.json")
    files.write_json(tmp_path / "study.json", {key: value for key, value in study.items() if key != "rules"})
    for use in (lambda: Optimizer(SPACE, journal=tmp_path), lambda: replay(tmp_path)):
        with pytest.raises(ValueError, match=r"study\.json: rules = 1: .* whose proposals differ; expected 2"):
            use()


def test_what_a_killed_writer_left_is_ignored(tmp_path: Path) -> None:
    run(Optimizer(SPACE, journal=tmp_path), 1)
    (tmp_path / ".trial_00003.json.tmp").write_text('{"id":')
    optimizer = Optimizer(SPACE, journal=tmp_path)
    assert len(optimizer.trials) == 3
    assert optimizer.ask()[0].id == 3


def test_stale_leases_are_taken_over(tmp_path: Path) -> None:
    optimizer = Optimizer(SPACE, journal=tmp_path)
    (trial,) = optimizer.ask()
    claimed = optimizer.claim(lease=100)
    assert claimed is not None
    assert claimed.state == "running"
    assert optimizer.claim() is None
    journal = Journal(tmp_path)
    late = replace(claimed, until=time.time() - 1)
    journal.write(late)
    again = optimizer.claim()
    assert again is not None
    assert again.id == trial.id
    optimizer.tell(again, 1.0)
    assert optimizer.claim() is None
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    host = claimed.owner.rpartition(":")[0] if claimed.owner else ""
    assert is_stale(leased(trial, 100, f"{host}:{child}"))
    assert not is_stale(leased(trial, 100))
    assert not is_stale(leased(trial, 100, "elsewhere:1"))
