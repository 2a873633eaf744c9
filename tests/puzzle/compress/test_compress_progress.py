"""Seconds of the plan, from what Snakemake says."""

import os
import time

import pytest

from tessera.puzzle.compress import progress
from tessera.puzzle.compress.steps import Step

STEPS = [
    Step("parent", {"puzzle_parent": 10.0}, {"puzzle_parent": 1}, 2),
    Step("scores", {"part": 30.0}, {"part": 4}, 2),
]
TABLE = """Job stats:
job              count
-------------  -------
part                 4
puzzle_parent        1
total                5
""".splitlines()


@pytest.fixture
def shown(tmp_path):
    made = progress.Progress(STEPS, tmp_path)
    for line in TABLE:
        made.read(line)
    return made


def test_the_table_of_jobs_gives_the_total(shown):
    assert shown.known and shown.total == 10 + 4 * 30 / 2


def test_a_table_that_is_not_whole_yet(tmp_path):
    made = progress.Progress(STEPS, tmp_path)
    for line in TABLE[:-1]:
        made.read(line)
    assert not made.known


def test_ticks_follow_the_jobs_that_are_finished(shown):
    said = []
    finished = ["Finished jobid: 5 (Rule: puzzle_parent)", "", *[f"Finished jobid: {n} (Rule: part)" for n in range(4)]]
    assert list(shown.ticks(finished, said.append)) == list(range(1, 71))
    assert [line.partition(":")[0] for line in said] == ["parent", "scores"]


def test_jobs_that_run_count_by_their_time(shown, tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part/0.log").write_text("")
    (tmp_path / "old.log").write_text("")
    os.utime(tmp_path / "old.log", (0, 0))
    assert shown.now() == 0
    shown.running["part"] = time.time() - 20
    assert shown.now() == 10  # two at once
    shown.running["part"] = time.time() - 2000
    assert shown.now() == int(0.95 * 30 / 2)


def test_a_run_with_nothing_to_do(tmp_path):
    made = progress.Progress(STEPS, tmp_path)
    assert list(made.ticks(["Nothing to be done"], print)) == [1]
