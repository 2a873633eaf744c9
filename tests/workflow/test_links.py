"""Data that DVC has linked into the tree from its cache: the same decisions as over copies, and a cache left alone."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest
from trees import ADOPTED, ALL, Tree, agree

#: Copies are also those of test_bridge.py, where it runs on a file system without reflinks.
LINKS = [
    pytest.param("copy", marks=pytest.mark.slow),
    pytest.param("hardlink", marks=pytest.mark.slow),
    "symlink",
    "reflink",
]


def objects(tree: Tree) -> dict[Path, tuple[int, int, str]]:
    """Mode, date and content of everything in the cache."""
    cache = tree.path / ".dvc/cache/files"
    return {
        path: (path.stat().st_mode, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in cache.rglob("*")
        if path.is_file()
    }


def kept(tree: Tree, before: dict[Path, tuple[int, int, str]]) -> None:
    """Assert that nothing was written through a link."""
    after = objects(tree)
    assert {path: after[path] for path in before} == before


@pytest.fixture(params=LINKS)
def linked(request: pytest.FixtureRequest, origin: Tree, tmp_path: Path) -> Tree:
    """A fresh clone whose data DVC has linked."""
    tree = origin.clone(tmp_path / "clone", pull=False)
    tree.run("dvc", "config", "--local", "cache.type", request.param)
    tree.run("dvc", "pull", "-q", check=request.param != "reflink")
    if request.param == "reflink" and not (tree.path / "data/raw.txt").exists():
        pytest.skip("this file system has no reflinks")
    shard = tree.path / "data/shards/0.csv"
    assert shard.is_symlink() == (request.param == "symlink")
    assert (shard.stat().st_nlink > 1) == (request.param == "hardlink")
    return tree


def test_fresh_clone(linked: Tree) -> None:
    before = objects(linked)
    assert ADOPTED in linked.run("snakemake")
    agree(linked)
    kept(linked, before)


@pytest.mark.parametrize(
    ("section", "key", "value", "ran"),
    [pytest.param("train", "lr", 0.2, ["fit"], marks=pytest.mark.slow), ("prepare", "rows", 120, ALL)],
)
def test_changed_params(linked: Tree, section: str, key: str, value: float, ran: list[str]) -> None:
    before = objects(linked)
    linked.set(section, key, value)
    assert linked.ran("snakemake") == ran
    agree(linked)
    kept(linked, before)


@pytest.mark.slow
def test_write_protected_files(linked: Tree) -> None:
    """Hard links have the cache's mode, 0444, which root alone does not notice."""
    user = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    if user and not shutil.which(user[0]):
        pytest.skip("setpriv, which takes root's privilege away, is not installed")
    before = objects(linked)
    for rows, first in ((120, "snakemake"), (80, "dvc repro"), (100, "snakemake")):
        linked.set("prepare", "rows", rows)
        assert linked.ran(*user, *first.split()) == ALL
    agree(linked)
    kept(linked, before)


def test_touch(linked: Tree) -> None:
    before = objects(linked)
    linked.run("snakemake", "--touch")
    kept(linked, before)


@pytest.mark.slow
def test_dates_in_the_future(linked: Tree) -> None:
    before = objects(linked)
    later = time.time() + 1e6
    for path in before:
        os.utime(path, (later, later))
    before = objects(linked)
    assert linked.ran("snakemake") == linked.ran("snakemake") == []
    kept(linked, before)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["snakemake", "dvc repro"])
def test_changed_params_after_an_adoption(linked: Tree, first: str) -> None:
    linked.run("snakemake")
    before = objects(linked)
    for rows in (120, 80):
        linked.set("prepare", "rows", rows)
        assert linked.ran(*first.split()) == ALL
        agree(linked)
    kept(linked, before)


@pytest.mark.slow
def test_old_files_under_new_params(linked: Tree) -> None:
    linked.run("snakemake")
    linked.set("train", "lr", 0.2)
    linked.run("snakemake")
    linked.run("git", "checkout", "-q", "dvc.lock")
    linked.run("dvc", "checkout", "-q", "--force")
    before = objects(linked)
    assert linked.ran("snakemake") == ["fit"]
    agree(linked)
    kept(linked, before)
