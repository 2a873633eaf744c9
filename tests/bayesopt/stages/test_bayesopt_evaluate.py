"""Evaluations of an objective: those that end well, those that fail, and those whose job is killed."""

import json
import multiprocessing
import sys
import time
from pathlib import Path

import psutil
import pytest

from tessera.bayesopt import objective as objectives
from tessera.bayesopt.stages import evaluate as bayesopt_evaluate
from tessera.bayesopt.trial import Trial
from tessera.common import files


def evaluate(directory: Path, objective: dict, point: dict) -> Trial:
    proposal = directory / "proposal.json"
    files.write_json(proposal, Trial(id=0, params=point, kind="random").to_json())
    params = bayesopt_evaluate.Params.model_validate_json(json.dumps({"objective": objective, "given": {"seed": 3}}))
    bayesopt_evaluate.main(params, proposal, directory / "result.json", directory / "cost.json")
    assert files.read_json(directory / "cost.json")["seconds"] >= 0
    assert not (directory / "scratch").exists()
    return Trial.from_json(files.read_json(directory / "result.json"), "result")


def test_an_objective_is_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The stage takes no seed: what is given must be what it wants.
    objective = {"stage": "bayesopt_function", "params": {"function": "branin"}, "metric": ["value"]}
    refused = evaluate(tmp_path, objective, {"x.x0": 0.0, "x.x1": 0.0})
    assert refused.state == "failed"
    assert refused.error is not None
    assert "--params: seed: unknown key" in refused.error


#: A stage that does what its params tell; it stands for any other.
STAGE = """
import argparse, json, os, subprocess, sys, time
parser = argparse.ArgumentParser()
for name in ("--params", "--out", "--directory"):
    parser.add_argument(name)
options = parser.parse_args()
params = json.loads(options.params)
assert os.path.isdir(os.path.dirname(options.directory)) and params["seed"] == 3
what = params["deep"]["what"]
if what == "raise":
    sys.exit("error: no good")
if what == "bytes":
    sys.stdout.buffer.write(bytes([255]))
    sys.exit(1)
if what in ("hang", "programs"):
    if what == "programs":
        started = [subprocess.Popen(["sleep", "300"], start_new_session=detached) for detached in (False, True)]
        beside = os.path.dirname(os.path.dirname(options.directory))
        open(os.path.join(beside, "pids"), "w").write(" ".join(str(program.pid) for program in started))
    time.sleep(60)
if what == "die":
    os.kill(os.getpid(), 9)
text = {"nan": "NaN", "null": "null", "text": '"x"'}.get(what, "1.5")
open(options.out, "w").write('{"a": [{"b": ' + text + "}]}")
"""


@pytest.mark.parametrize(
    ("what", "state", "error"),
    [
        ("fine", "done", None),
        ("raise", "failed", "error: no good"),
        ("bytes", "failed", "\\xff"),
        ("hang", "failed", "no answer within 1.0 s"),
        ("programs", "failed", "no answer within 10.0 s"),
        ("nan", "failed", "value = nan; valid is a finite number"),
        ("null", "failed", "the metric is null"),
    ],
)
def test_outcomes_of_an_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, what: str, state: str, error: str | None
) -> None:
    # Programs have to be up before the limit, on a busy machine too; one that hangs may be stopped at any time.
    limit = {"timeout": {"hang": 1.0, "programs": 10.0}[what]} if what in ("hang", "programs") else {}
    found = evaluate(tmp_path, objective(tmp_path, monkeypatch) | limit, {"deep.what": what})
    assert (found.state, found.value) == (state, 1.5 if state == "done" else None)
    assert (error is None and found.error is None) or (error is not None and error in str(found.error))
    assert capsys.readouterr().err == (f"trial 0 failed: {found.error}\n" if state == "failed" else "")
    if what == "programs":
        assert not any(psutil.pid_exists(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_programs_of_a_killed_job_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (tmp_path, objective(tmp_path, monkeypatch), {"deep.what": "programs"})
    job = multiprocessing.get_context("fork").Process(target=evaluate, args=arguments)
    job.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "pids").exists() or not (text := (tmp_path / "pids").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job.kill()
    job.join()
    while any(psutil.pid_exists(int(pid)) for pid in text.split()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("what", "path", "message"),
    [
        ("die", ["a", 0, "b"], "was ended by SIGKILL; run again"),
        ("text", ["a", 0, "b"], "is 'x'; expected the path of a number"),
        ("fine", ["a", 0, "c"], r"there is no 'c'; there is \['b'\]"),
        ("fine", ["a", 1], "there is no 1"),
    ],
)
def test_faults_that_are_not_the_trial_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, path: list, message: str
) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        evaluate(tmp_path, objective(tmp_path, monkeypatch) | {"metric": path}, {"deep.what": what})
    assert not (tmp_path / "result.json").exists()


def objective(directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """An objective whose stage is the script above, which is run in place of any stage."""
    script = directory / "python"
    script.write_text(f"#!{sys.executable}\nimport sys\ndel sys.argv[1:3]\n{STAGE}")
    script.chmod(0o755)
    monkeypatch.setattr(objectives.sys, "executable", str(script))
    arguments = {"directory": "{scratch}/child"}
    return {
        "stage": "bayesopt_function",
        "arguments": arguments,
        "output": "out",
        "metric": ["a", 0, "b"],
        "timeout": 60.0,
    }
