"""minimize: objectives that raise, die, hang or are killed, and workers side by side."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tessera.bayesopt import Float, Int, ObjectiveError, Optimizer, minimize, replay
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
    if params["x"] > 0.2:
        time.sleep(60)
    if params["x"] < -0.6:
        os._exit(3)
    if params["y"] > 0.8:
        return float("nan")
    return bowl(params), params["y"] < 0.5


def test_a_study_survives_its_objective() -> None:
    each = [(0.8, 0.0), (0.3, 0.0), (-0.8, 0.0), (0.0, 0.9), (0.0, 0.0)]  # one point of every outcome
    initial = tuple({"x": x, "y": y} for x, y in each)
    result = minimize(difficult, SPACE, 10, seed=0, timeout=2.0, workers=2, initial=initial)
    assert len(result.trials) == 10
    assert all(trial.finished for trial in result.trials)
    errors = " | ".join(str(trial.error) for trial in result.trials)
    for message in ("RuntimeError: too far", "no answer within 2.0 s", "exit status 3"):
        assert message in errors
    assert result.best is not None
    assert result.best.params["y"] < 0.5


def slow(params: dict) -> float:
    time.sleep(0.05 + 0.05 * abs(params["x"]))
    return bowl(params)


def test_variables_that_are_not_in_alphabetical_order_replay(tmp_path: Path) -> None:
    space = {"rate": Float(low=1e-5, high=1e-1, log=True), "layers": Int(low=1, high=8), "a": Float(low=0, high=1)}

    def loss(params: dict) -> float:
        return (math.log10(params["rate"]) + 3) ** 2 + (params["layers"] - 4) ** 2 + params["a"]

    minimize(loss, space, 12, seed=1, journal=tmp_path)
    replayed = replay(tmp_path)
    assert len(replayed) == 12 and all(one.same for one in replayed)
    with pytest.raises(ValueError, match="another study, whose order differ; expected the same or an empty directory"):
        minimize(loss, dict(reversed(space.items())), 13, seed=1, journal=tmp_path)


def test_workers_side_by_side_replay(tmp_path: Path) -> None:
    result = minimize(slow, SPACE, 16, workers=4, journal=tmp_path)
    assert len(result.trials) == 16
    replayed = replay(tmp_path)
    assert all(one.same for one in replayed)
    assert any(one.stored.pending for one in replayed)


SCRIPT = """
import sys, time
from tessera.bayesopt import Float, minimize
def f(p):
    time.sleep(0.2)
    return p["x"] ** 2 + p["y"] ** 2
space = {"x": Float(low=-1.0, high=1.0), "y": Float(low=-1.0, high=1.0)}
minimize(f, space, 12, workers=2, journal=sys.argv[1], lease=5.0)
"""


def test_a_killed_study_is_taken_up(tmp_path: Path) -> None:
    """SIGKILL of the whole process group; the trials that were running are evaluated by the next, none is lost."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "study")], start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (tmp_path / "study/trial_00005.json").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running = [trial for trial in Journal(tmp_path / "study").read() if not trial.finished]
    assert running
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "study")], check=False, timeout=300)
    assert done.returncode == 0
    trials = Optimizer({**SPACE}, journal=tmp_path / "study").trials
    assert len(trials) == 12
    assert all(trial.state == "done" for trial in trials)
    assert all(one.same for one in replay(tmp_path / "study"))


def nameless(params: dict) -> float:
    return bowl(params) + undefined  # type: ignore[name-defined]  # noqa: F821


def test_the_first_failure_is_shown_and_many_in_a_row_end_the_study(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ObjectiveError, match=r"4 evaluations in a row failed, .* trial 0 with .*: NameError: name 'un"):
        minimize(nameless, SPACE, 30, max_failures_in_a_row=4)
    (shown,) = caplog.messages
    assert "Traceback" in shown
    assert "bowl(params) + undefined" in shown


def test_failures_with_successes_between_end_no_study(caplog: pytest.LogCaptureFixture) -> None:
    def half(params: dict) -> float:
        if params["x"] > 0:
            raise RuntimeError("too far")
        return bowl(params)

    result = minimize(half, SPACE, 20, method="random", seed=2, max_failures_in_a_row=8)
    assert len(result.trials) == 20
    assert len(caplog.messages) == 1
    assert sum(trial.state == "failed" for trial in result.trials) > 5
    with pytest.raises(ValueError, match="max_failures_in_a_row = 0; expected an integer from 1, or None"):
        minimize(half, SPACE, 20, max_failures_in_a_row=0)


def test_infeasible_points_are_no_failures() -> None:
    result = minimize(lambda params: (0.0, False), SPACE, 6, method="random", max_failures_in_a_row=2)
    assert result.best is None
    assert len(result.trials) == 6


def test_bytes_that_are_no_text_in_an_error_are_one_failed_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(params: dict) -> float:
        raise OSError(os.fsdecode(b"no such file: \xff\xfe"))

    result = minimize(fails, SPACE, 2, journal=tmp_path)
    assert [trial.state for trial in Journal(tmp_path).read()] == ["failed", "failed"]
    assert result.trials[0].error == "OSError: no such file: \\udcff\\udcfe"
    assert caplog.text.encode()  # the trace in the log can be written to any file


#: An objective that starts programs, one in a session of its own, and writes down the ids of all processes.
PROGRAMS = """
import os, signal, subprocess, sys, time
from pathlib import Path
from tessera.bayesopt import Float, minimize
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
def f(p):
    started = [subprocess.Popen(["sleep", "300"], start_new_session=own) for own in (False, True)]
    directory = Path(sys.argv[1])
    text = " ".join(str(i) for i in [os.getpid(), *(one.pid for one in started)])
    (directory / f"pids-{os.getpid()}.part").write_text(text)
    (directory / f"pids-{os.getpid()}.part").rename(directory / f"pids-{os.getpid()}")
    time.sleep(float(sys.argv[2]))
    return p["x"]
timeout = float(sys.argv[3]) if sys.argv[3:] else None
minimize(f, {"x": Float(low=0.0, high=1.0)}, 2, workers=2, journal=sys.argv[1] + "/study", lease=600.0, timeout=timeout)
"""


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def started(directory: Path, evaluations: int = 2) -> list[int]:
    """Ids of the processes of so many evaluations, once all have begun."""
    deadline = time.monotonic() + 60
    while len(files := list(directory.glob("pids-*[0-9]"))) < evaluations:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(pid) for file in files for pid in file.read_text().split()]


def wait_for_the_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, [pid for pid in pids if alive(pid)]
        time.sleep(0.02)


SIGINT = pytest.param(signal.SIGINT, marks=pytest.mark.slow)


@pytest.mark.parametrize("number", [signal.SIGTERM, SIGINT, signal.SIGKILL])
def test_evaluations_end_with_their_study(tmp_path: Path, number: signal.Signals) -> None:
    """And so do programs that they have started; the trials are there for the next study at once."""
    study = subprocess.Popen([sys.executable, "-c", PROGRAMS, str(tmp_path), "300"], stderr=subprocess.DEVNULL)
    pids = started(tmp_path)
    assert len(pids) == 6
    assert all(alive(pid) for pid in pids)
    study.send_signal(number)
    assert study.wait(20) == -number
    wait_for_the_end(pids)
    states = {trial.state for trial in Journal(tmp_path / "study").read()}
    assert states == ({"running"} if number == signal.SIGKILL else {"waiting"})
    done = subprocess.run([sys.executable, "-c", PROGRAMS, str(tmp_path), "0"], check=False, timeout=300)
    assert done.returncode == 0
    assert [trial.state for trial in Journal(tmp_path / "study").read()] == ["done", "done"]


@pytest.mark.parametrize(("seconds", "limit", "state"), [("0.2", "60", "done"), ("300", "1", "failed")])
def test_programs_end_with_their_evaluation(tmp_path: Path, seconds: str, limit: str, state: str) -> None:
    command = [sys.executable, "-c", PROGRAMS, str(tmp_path), seconds, limit]
    subprocess.run(command, check=True, timeout=300, stderr=subprocess.DEVNULL)
    pids = started(tmp_path)
    assert len(pids) == 6
    assert not any(alive(pid) for pid in pids)
    assert [trial.state for trial in Journal(tmp_path / "study").read()] == [state] * 2


def test_a_program_s_own_way_with_sigterm_is_left_alone() -> None:
    before = signal.signal(signal.SIGTERM, handler := lambda *_: None)
    try:
        minimize(bowl, SPACE, 1)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("options", [{"evaluations": 0}, {"workers": 0}, {"timeout": 0.0}])
def test_bad_options_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="all must be above 0"):
        minimize(bowl, SPACE, **({"evaluations": 5} | options))
