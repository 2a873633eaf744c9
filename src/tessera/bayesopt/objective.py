"""The objective of a study: a stage of this package, run with a trial's values, and one of its numbers."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tessera.bayesopt.params import ObjectiveParams
from tessera.common import code, files, processes
from tessera.common import params as layers

#: Last lines of a failed stage's output that are kept.
LINES = 5


def values(sections: Mapping[str, Any], overrides: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """The stage's params: the sections, overrides laid over them, and each variable set at its dotted path."""
    merged = layers.merge(sections, overrides)
    for name, value in point.items():
        *path, last = name.split(".")
        overlay: dict[str, Any] = {last: value}
        for part in reversed(path):
            overlay = {part: overlay}
        merged = layers.merge(merged, overlay)
    return merged


def run(objective: ObjectiveParams, stage_params: Mapping[str, Any], scratch: Path) -> tuple[float | None, str | None]:
    """The metric of the objective's stage with these params, or why there is none.

    The stage has scratch, an empty directory, for its files; it is removed afterwards. Raises OSError if the stage
    was ended by a signal, which says nothing about its params, and ValueError if the metric's path leads to no
    number.
    """
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed job, it may be there
    scratch.mkdir(parents=True)
    try:
        return _run(objective, stage_params, scratch)
    finally:
        shutil.rmtree(scratch)


def _run(objective: ObjectiveParams, stage_params: Mapping[str, Any], scratch: Path) -> tuple[float | None, str | None]:
    metrics = scratch / "metrics.json"
    command = [sys.executable, "-m", code.stage(objective.stage), "--params", files.to_json(stage_params, indent=None)]
    for name, argument in objective.arguments.items():
        texts = [str(item).replace("{scratch}", str(scratch)) for item in _list(argument)]
        command += [f"--{name.replace('_', '-')}", *texts]
    command += [f"--{objective.output.replace('_', '-')}", str(metrics)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",  # a program may print any bytes
        preexec_fn=partial(processes.supervise, os.getpid()),
    )
    try:
        output, _ = process.communicate(timeout=objective.timeout)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {objective.timeout} s"
    finally:
        process.terminate()
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


def _metric(content: Any, path: list[str | int]) -> tuple[float | None, str | None]:
    """The number at a path of keys and indices."""
    for key in path:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            valid = sorted(content) if isinstance(content, dict) else f"{type(content).__name__}"
            raise ValueError(f"objective.metric = {path}: there is no {key!r}; there is {valid}") from None
    if content is None:
        return None, "the metric is null"
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise ValueError(f"objective.metric = {path} is {content!r}; expected the path of a number")
    return float(content), None
