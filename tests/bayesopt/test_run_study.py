"""minimize: objectives that raise, die, hang or are killed, and workers side by side."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tessera.bayesopt import Float, Optimizer, minimize, replay
from tessera.bayesopt.journal import Journal

SPACE = {"x": Float(low=-1.0, high=1.0), "y": Float(low=-1.0, high=1.0)}


def bowl(params: dict) -> float:
    return (params["x"] - 0.3) ** 2 + params["y"] ** 2


def test_it_minimises() -> None:
    result = minimize(bowl, SPACE, 20, seed=1, initial=({"x": 0.0, "y": 0.0},))
    assert result.trials[0].kind == "baseline"
    assert len(result.trials) == 20
    assert result.best is not None
    assert result.best.value is not None
    assert result.best.value < 0.01


def test_one_worker_is_deterministic() -> None:
    assert minimize(bowl, SPACE, 10, seed=2).trials == minimize(bowl, SPACE, 10, seed=2).trials


def difficult(params: dict) -> float | tuple[float, bool]:
    if params["x"] > 0.6:
        raise RuntimeError("too far")
    if params["x"] > 0.4:
        time.sleep(600)
    if params["x"] < -0.6:
        os._exit(3)
    if params["y"] > 0.8:
        return float("nan")
    return bowl(params), params["y"] < 0.5


def test_a_study_survives_its_objective() -> None:
    result = minimize(difficult, SPACE, 24, seed=0, timeout=3.0, workers=2)
    assert len(result.trials) == 24
    assert all(trial.finished for trial in result.trials)
    errors = " | ".join(str(trial.error) for trial in result.trials)
    for message in ("RuntimeError: too far", "no answer within 3.0 s", "exit status 3"):
        assert message in errors
    assert result.best is not None
    assert result.best.params["y"] < 0.5


def slow(params: dict) -> float:
    time.sleep(0.05 + 0.05 * abs(params["x"]))
    return bowl(params)


def test_workers_side_by_side_replay(tmp_path: Path) -> None:
    result = minimize(slow, SPACE, 16, workers=4, journal=tmp_path)
    assert len(result.trials) == 16
    replayed = replay(tmp_path)
    assert all(one.same for one in replayed)
    assert any(one.stored.pending for one in replayed)


SCRIPT = """
import os, sys, time
from tessera.bayesopt import Float, minimize
def f(p):
    if len(sys.argv) > 2 and os.path.exists(sys.argv[2]):
        time.sleep(600)  # until it is killed
    return p["x"] ** 2 + p["y"] ** 2
space = {"x": Float(low=-1.0, high=1.0), "y": Float(low=-1.0, high=1.0)}
minimize(f, space, 12, workers=2, journal=sys.argv[1], lease=5.0)
"""


def test_a_killed_study_is_taken_up(tmp_path: Path) -> None:
    """SIGKILL of the whole process group; the trials that were running are evaluated by the next, none is lost."""
    sixth = tmp_path / "study/trial_00005.json"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "study")]
    process = subprocess.Popen([*command, str(sixth)], start_new_session=True)
    while not sixth.exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running = [trial for trial in Journal(tmp_path / "study").read() if not trial.finished]
    assert running
    done = subprocess.run(command, check=False)
    assert done.returncode == 0
    trials = Optimizer({**SPACE}, journal=tmp_path / "study").trials
    assert len(trials) == 12
    assert all(trial.state == "done" for trial in trials)
    assert all(one.same for one in replay(tmp_path / "study"))


@pytest.mark.parametrize("options", [{"evaluations": 0}, {"workers": 0}, {"timeout": 0.0}])
def test_bad_options_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="valid are numbers above 0"):
        minimize(bowl, SPACE, **({"evaluations": 5} | options))
