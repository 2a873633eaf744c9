"""A run that is killed, at any moment and more than once, is taken up again and ends with the same bytes."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from tessera.common import dvc_bridge

KILLS = 3
#: The costs of the second target come from a datasheet instead of a clock, so that no choice rests on what was timed.
OVERLAY = """
puzzle:
  costs:
    targets:
      cpu: {source: roofline, hardware: h100-sxm, dtype: bfloat16, threads: null, repeats: null}
"""
#: All but the measurement of speed and what shows it.
TARGET = "puzzle_child"
RUN = "import sys; from tessera.run import run; sys.exit(run(sys.argv[2:], sys.argv[1]))"


def start(directory: Path, overlay: Path) -> subprocess.Popen:
    """`tessera run` at the smoke scale, in a process group of its own."""
    files = [str(path) for path in (ROOT / "params.yaml", ROOT / "params/smoke.yaml", overlay)]
    command = [sys.executable, "-c", RUN, str(directory), "--configfile", *files, "--", TARGET]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)


def digests(directory: Path) -> dict[str, str]:
    """Hash of every file in the outs of DVC's stages."""
    found = {}
    for out in (out for stage in dvc_bridge.stages(ROOT / "dvc.yaml") for out in stage.outs):
        path = directory / out
        for file in sorted([path] if path.is_file() else path.rglob("*")):
            name = file.relative_to(directory).as_posix()
            if file.is_file() and file.name != dvc_bridge.TIMESTAMP:
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_runs_end_with_the_same_bytes(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(OVERLAY)
    begun = time.monotonic()
    assert start(tmp_path / "unbroken", overlay).wait() == 0
    duration = time.monotonic() - begun
    moments = [random.uniform(3, duration / KILLS) for _ in range(KILLS)]
    for moment in moments:
        process = start(tmp_path / "killed", overlay)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert start(tmp_path / "killed", overlay).wait() == 0, f"killed after {moments} s"
    unbroken = digests(tmp_path / "unbroken")
    assert len(unbroken) > 20
    assert digests(tmp_path / "killed") == unbroken, f"killed after {moments} s"
