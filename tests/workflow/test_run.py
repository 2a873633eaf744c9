"""`tessera run` survives whatever became of the run before."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tessera.workflow import bridge
from tessera.workflow import run as runner

SNAKEFILE = """
rule all:
    input: "done"

rule slow:
    output: "done"
    shell: "echo x >> runs; sleep $(cat seconds); touch {output}"
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "seconds").write_text("0")
    (tmp_path / "profiles/default").mkdir(parents=True)
    (tmp_path / "profiles/default/profile.yaml").write_text("cores: 1\nrerun-incomplete: true\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start() -> subprocess.Popen:
    """Snakemake in a session of its own, once its job has begun."""
    process = subprocess.Popen([sys.executable, "-m", "snakemake", "-q", "all"], start_new_session=True)
    while not Path("runs").exists():
        time.sleep(0.02)
    return process


def test_after_a_kill(tree: Path) -> None:
    (tree / "seconds").write_text("60")
    os.killpg(start().pid, signal.SIGKILL)
    assert any((tree / bridge.LOCKS).glob("*"))
    (tree / "seconds").write_text("0")
    assert runner.run() == 0
    assert (tree / "done").exists()
    assert not any((tree / bridge.LOCKS).glob("*"))


def test_status_of_a_failure(tree: Path) -> None:
    (tree / "seconds").write_text("never")
    assert runner.run() == 1


def test_another_run(tree: Path) -> None:
    lock = tree / runner.LOCK
    lock.parent.mkdir()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match=f"another run is in progress in {tree}; wait for it to finish"):
            runner.run()


def test_snakemake_at_work(tree: Path) -> None:
    (tree / "seconds").write_text("60")
    process = start()
    try:
        with pytest.raises(
            RuntimeError, match=rf"snakemake is running in {tree} \(process \d+\); wait for it to finish"
        ):
            runner.run()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert any((tree / bridge.LOCKS).glob("*"))


def test_orphans_are_waited_for(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2)  # tessera.study.stages.x"])
    assert runner.run() == 0
    assert orphan.poll() == 0
    assert f"waiting for process {orphan.pid}" in capsys.readouterr().err


@pytest.fixture
def elsewhere(tree: Path) -> Path:
    """Another directory in which the workflow of the tree is run."""
    (tree / "elsewhere").mkdir()
    (tree / "elsewhere/seconds").write_text("0")
    return tree / "elsewhere"


def test_following_a_run_in_another_directory(tree: Path, elsewhere: Path) -> None:
    lines = list(runner.follow(["all"], elsewhere, tree))
    assert any("Finished jobid: 1 (Rule: slow)" in line for line in lines)
    assert (elsewhere / "done").exists() and not (tree / "done").exists()


def test_following_a_run_that_fails(tree: Path, elsewhere: Path) -> None:
    (tree / "Snakefile").write_text(SNAKEFILE.replace("sleep $(cat seconds)", "bash seconds"))
    (elsewhere / "seconds").write_text("echo error: the disk is full; exit 1")
    with pytest.raises(RuntimeError, match=r"^the disk is full$"):
        list(runner.follow(["all"], elsewhere, tree))


def test_a_run_that_is_not_followed_to_its_end_stops_and_resumes(tree: Path, elsewhere: Path) -> None:
    (elsewhere / "seconds").write_text("60")
    running = runner.follow(["all"], elsewhere, tree)
    while not (elsewhere / "runs").exists():
        next(running)
    running.close()
    assert not runner._processes(elsewhere, "snakemake") and not (elsewhere / "done").exists()
    (elsewhere / "seconds").write_text("0")
    lines = list(runner.follow(["all"], elsewhere, tree))
    assert "was interrupted" in lines[0]
    assert (elsewhere / "done").exists()
