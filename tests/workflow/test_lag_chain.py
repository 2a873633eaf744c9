"""A study of the workflow: one Snakemake run after another, with any number of workers, killed or not: one table."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trees import ROOT

OVERLAY = "bayesopt: {{studies: {{branin: {{budget: {budget}, lag: 4}}}}}}\n"
TABLE = "reports/details/bayesopt_branin/trials.csv"


def start(directory: Path, workers: int, budget: int = 12) -> subprocess.Popen:
    """Snakemake on the study, in a process group of its own."""
    return subprocess.Popen(
        command(directory, workers, budget), cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL
    )


def command(directory: Path, workers: int, budget: int, *more: str) -> list[str]:
    directory.mkdir(exist_ok=True)
    overlay = directory / "overlay.yaml"
    overlay.write_text(OVERLAY.format(budget=budget))
    files = [str(ROOT / "params.yaml"), str(ROOT / "params/smoke.yaml"), str(overlay)]
    options = ["--directory", str(directory), "--cores", str(workers), "--quiet", "all", "--rerun-incomplete"]
    return [sys.executable, "-m", "snakemake", *options, *more, "--nolock", "--configfile", *files, "--", TABLE]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_table_is_the_same_for_any_workers_and_after_kills(tmp_path: Path) -> None:
    tables = {}
    durations = []
    for workers in (1, 2, 4):
        begun = time.monotonic()
        assert start(tmp_path / str(workers), workers).wait() == 0
        durations.append(time.monotonic() - begun)
        tables[f"{workers} workers"] = (tmp_path / str(workers) / TABLE).read_bytes()
    moments = [random.uniform(0.2, 0.6) * min(durations) for _ in range(3)]
    for moment in moments:
        process = start(tmp_path / "killed", 4)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert start(tmp_path / "killed", 4).wait() == 0, f"killed after {moments} s"
    tables[f"killed after {moments} s"] = (tmp_path / "killed" / TABLE).read_bytes()
    assert len(tables["1 workers"].splitlines()) == 13
    assert len(set(tables.values())) == 1, {name: hash(table) for name, table in tables.items()}


@pytest.mark.slow
def test_a_larger_budget_evaluates_only_the_new_trials(tmp_path: Path) -> None:
    directory = tmp_path / "study"
    assert start(directory, 2, budget=2).wait() == 0
    planned = subprocess.run(
        command(directory, 2, 3, "--dry-run"), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    jobs = dict(re.findall(r"^(bayesopt_\w+) +(\d+)$", planned, re.MULTILINE))
    assert jobs == {"bayesopt_propose": "1", "bayesopt_evaluate": "1", "bayesopt_study": "1"}, planned
