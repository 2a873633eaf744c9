"""A run that is killed, at any moment and more than once, is taken up again and ends with the same bytes."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from trees import UNTIMED, digests, smoke

KILLS = 3
#: All but the measurement of speed and what shows it.
TARGET = ("--", "puzzle_child")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_runs_end_with_the_same_bytes(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(UNTIMED)
    begun = time.monotonic()
    assert smoke(tmp_path / "unbroken", overlay, *TARGET).wait() == 0
    duration = time.monotonic() - begun
    moments = [random.uniform(3, duration / KILLS) for _ in range(KILLS)]
    for moment in moments:
        process = smoke(tmp_path / "killed", overlay, *TARGET)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert smoke(tmp_path / "killed", overlay, *TARGET).wait() == 0, f"killed after {moments} s"
    unbroken = digests(tmp_path / "unbroken")
    assert len(unbroken) > 20
    assert digests(tmp_path / "killed") == unbroken, f"killed after {moments} s"
