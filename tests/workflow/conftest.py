"""Fixtures of the workflow's tests: working copies of the tiny pipeline, told faults, and a tree with one run."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tracked_runs
from trees import Faults, Tree, first_run, once

from tessera.workflow import tracking


@pytest.fixture(scope="session")
def faults() -> Iterator[Faults]:
    """Collects what the tests of faults tell; written to the file that TESSERA_FAULTS names."""
    told = Faults()
    yield told
    if path := os.environ.get("TESSERA_FAULTS"):
        Path(path).write_text(told.table())


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The tiny pipeline after its first run, committed and pushed; its log names what that ran."""
    return Tree(once(tmp_path_factory, "tiny", first_run) / "origin")


@pytest.fixture
def tree(origin: Tree, tmp_path: Path) -> Tree:
    """The working copy after its first run, with all its memory."""
    return origin.copy(tmp_path / "tree")


@pytest.fixture
def clone(origin: Tree, tmp_path: Path) -> Tree:
    """A fresh clone with its data pulled."""
    return origin.clone(tmp_path / "clone")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with its tables, whose creation takes seconds."""
    return once(tmp_path_factory, "mlflow", tracking.sync) / tracking.DATABASE


@pytest.fixture
def root(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with a database and one run."""
    shutil.copy(template, tmp_path)
    tracked_runs.write(tmp_path, {})
    (tmp_path / "reports/figures").mkdir()
    (tmp_path / "reports/figures/loss.svg").write_text("<svg/>")
    monkeypatch.chdir(tmp_path)
    return tmp_path
