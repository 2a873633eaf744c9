"""Evaluate one trial of a study: run its objective's stage with the trial's values and read the metric."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tessera.bayesopt.params import ObjectiveParams
from tessera.bayesopt.trial import Trial
from tessera.common import files, stage
from tessera.common import params as layers
from tessera.common.params import Section

#: Last lines of a failed stage's output that are kept.
LINES = 5


class Params(Section):
    """The objective, and the sections of params.yaml that it reads."""

    objective: ObjectiveParams
    given: dict[str, Any]


def main(params: Params, proposal: Path, result: Path, cost: Path) -> None:
    """Write the trial with its outcome, and the seconds that it took.

    A stage that ends with an error, takes longer than the time limit or gives no finite number makes the trial failed.
    One that is ended by a signal says nothing about the trial: that is an error of this job, which Snakemake runs
    again.
    """
    trial = Trial.from_json(files.read_json(proposal), str(proposal))
    objective = params.objective
    scratch = result.parent / "scratch"  # of a killed job, it may be there
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    begun = time.monotonic()
    try:
        value, error = _evaluate(objective, values(params.given, objective.params, trial.params), scratch)
    finally:
        shutil.rmtree(scratch)
    files.write_json(result, trial.ended(value, error=error).to_json())
    files.write_json(cost, {"seconds": time.monotonic() - begun})


def values(given: Mapping[str, Any], own: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """The stage's params: those given, the objective's own laid over them, and each variable set at its dotted path."""
    merged = layers.merge(given, own)
    for name, value in point.items():
        *path, last = name.split(".")
        overlay: dict[str, Any] = {last: value}
        for part in reversed(path):
            overlay = {part: overlay}
        merged = layers.merge(merged, overlay)
    return merged


def _evaluate(objective: ObjectiveParams, given: Mapping[str, Any], scratch: Path) -> tuple[float | None, str | None]:
    """The metric, or why there is none."""
    metrics = scratch / "metrics.json"
    command = [sys.executable, "-m", f"tessera.stages.{objective.stage}", "--params", files.to_json(given, indent=None)]
    for name, argument in objective.arguments.items():
        texts = [str(one).replace("{scratch}", str(scratch)) for one in _list(argument)]
        command += [f"--{name.replace('_', '-')}", *texts]
    command += [f"--{objective.output.replace('_', '-')}", str(metrics)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=objective.timeout)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {objective.timeout} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    print(output, end="")
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise OSError(f"the stage {objective.stage} was ended by {name}; run again")
    if process.returncode:
        return None, " | ".join(output.strip().splitlines()[-LINES:]) or f"exit status {process.returncode}"
    return _metric(files.read_json(metrics), objective.metric)


def _list(argument: Any) -> list[Any]:
    return argument if isinstance(argument, list) else [argument]


def _metric(found: Any, path: list[str | int]) -> tuple[float | None, str | None]:
    """The number at a path of keys and indices."""
    for key in path:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            valid = sorted(found) if isinstance(found, dict) else f"{type(found).__name__}"
            raise ValueError(f"objective.metric = {path}: there is no {key!r}; there is {valid}") from None
    if found is None:
        return None, "the metric is null"
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"objective.metric = {path} is {found!r}; valid is the path of a number")
    return float(found), None


if __name__ == "__main__":
    stage.run(main)
