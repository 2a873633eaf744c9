"""Snakemake and DVC over one tree: whichever runs, the other agrees, and nothing stale is ever called current."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from trees import ADOPTED, ALL, Tree, agree

from tessera.workflow import bridge, outputs, pipeline


def test_first_run(origin: Tree, tree: Tree) -> None:
    assert sorted(origin.log.read_text().splitlines()) == ALL
    assert set(tree.lock()) == {"prepare", "train"}
    assert not (tree.path / pipeline.UNRECORDED).exists()
    agree(tree)


def test_fresh_clone(origin: Tree, tmp_path: Path) -> None:
    clone = origin.clone(tmp_path / "clone", pull=False)
    assert clone.ran("dvc", "repro", "--pull") == []
    assert ADOPTED in clone.run("snakemake")
    assert "adopted" not in clone.run("snakemake")
    agree(clone)
    assert clone.changed() == ""


def test_params_changed_dvc_first(tree: Tree) -> None:
    tree.set("train", "lr", 0.2)
    assert tree.ran("dvc", "repro") == ["fit"]
    agree(tree)


def test_params_changed_snakemake_first(tree: Tree) -> None:
    tree.set("train", "lr", 0.2)
    assert tree.ran("snakemake") == ["fit"]
    assert tree.lock()["train"]["params"]["params.yaml"]["train"]["lr"] == 0.2
    agree(tree)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["snakemake", "dvc repro"])
def test_first_stage_changed(tree: Tree, first: str) -> None:
    tree.set("prepare", "rows", 120)
    assert tree.ran(*first.split()) == ALL
    agree(tree)


@pytest.mark.slow
def test_clone_with_changed_params(clone: Tree) -> None:
    clone.set("prepare", "rows", 120)
    assert clone.ran("snakemake") == ALL
    assert clone.lock()["prepare"]["params"]["params.yaml"]["prepare"]["rows"] == 120
    agree(clone)


@pytest.mark.slow
def test_clone_with_changed_params_of_the_last_stage(clone: Tree) -> None:
    clone.set("train", "lr", 0.2)
    assert clone.ran("snakemake") == ["fit"]
    agree(clone)


@pytest.mark.slow
def test_clone_with_changed_params_of_a_temporary_file(clone: Tree) -> None:
    clone.run("snakemake")
    clone.set("noise", "scale", 2.0)
    assert clone.ran("snakemake") == ALL
    agree(clone)


@pytest.mark.slow
def test_snakemake_remembers_one_stage_only(clone: Tree) -> None:
    clone.run("snakemake", "--touch", "--allowed-rules", "fit", "train", "--", "train", TESSERA_ADOPTING="1")
    clone.set("prepare", "rows", 120)
    assert clone.ran("snakemake") == ALL
    agree(clone)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--temp"], ["--queue"]])
def test_experiments(clone: Tree, flags: list[str]) -> None:
    done = clone.ran("dvc", "exp", "run", *flags, "-S", "train.lr=0.3")
    if "--queue" in flags:
        clone.log.unlink(missing_ok=True)
        clone.run("dvc", "queue", "start")
        while "Queued" in (status := clone.run("dvc", "queue", "status")) or "Running" in status:
            time.sleep(1)
        clone.run("dvc", "queue", "stop")
        assert "Success" in status, clone.run(
            "dvc", "queue", "logs", status.split()[status.split().index("Success") - 2]
        )
        done = clone.log.read_text().splitlines()
    assert done == ["fit"]
    assert clone.ran("snakemake") == []


@pytest.mark.slow
def test_raw_data_edited(tree: Tree) -> None:
    (tree.path / "data/raw.txt").write_text("4.0\n")
    assert tree.ran("snakemake") == ALL
    assert "data/raw.txt.dvc" in tree.run("dvc", "status")  # raw data is the user's to version
    tree.run("dvc", "add", "data/raw.txt")
    agree(tree)


@pytest.mark.slow
def test_reset_and_checkout(tree: Tree) -> None:
    tree.set("prepare", "rows", 120)
    tree.run("snakemake")
    tree.run("git", "reset", "-q", "--hard")
    tree.run("dvc", "checkout", "-q")
    assert tree.ran("snakemake") == []
    agree(tree)
    assert tree.changed() == ""


@pytest.mark.slow
def test_old_files_under_new_params(tree: Tree) -> None:
    tree.set("train", "lr", 0.2)
    tree.run("snakemake")
    tree.run("git", "checkout", "-q", "dvc.lock", "reports/metrics.json")
    tree.run("dvc", "checkout", "-q")
    assert tree.ran("snakemake") == ["fit"]
    agree(tree)


@pytest.mark.slow
def test_run_cache(tree: Tree) -> None:
    for rows in (120, 200):
        tree.set("prepare", "rows", rows)
        assert tree.ran("dvc", "repro") == (ALL if rows == 120 else [])
    assert tree.ran("snakemake") == []
    agree(tree)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["-n", "--summary", "--lint", "--touch", "--unlock", "--list-rules", "--rulegraph"])
def test_reading_changes_nothing(clone: Tree, mode: str) -> None:
    """Nor does it wait for DVC to compare all files: here DVC would refuse."""
    clone.set("train", "lr", 0.2)
    lock = clone.path / ".dvc/tmp/rwlock"
    lock.write_text('{"%s": {"write": {"pid": 1, "cmd": "dvc repro"}, "read": []}}' % (clone.path / "data/shards"))
    before = {path: path.stat().st_mtime for path in clone.path.glob("data/*/*")}
    words = clone.run("snakemake", mode, check=False)
    assert f"{bridge.NOT_SETTLED}: prepare train\n" in words
    assert mode == "--touch" or {path: path.stat().st_mtime for path in before} == before


@pytest.mark.slow
def test_dvc_at_work(clone: Tree) -> None:
    lock = clone.path / ".dvc/tmp/rwlock"
    lock.write_text('{"%s": {"write": {"pid": 1, "cmd": "dvc repro"}, "read": []}}' % (clone.path / "data/shards"))
    words = clone.run("snakemake", check=False)
    assert "dvc status failed" in words
    assert clone.ran("dvc", "unprotect", "data/raw.txt") == []  # nothing was dated or dropped
    lock.unlink()
    assert ADOPTED in clone.run("snakemake")


@pytest.mark.slow
def test_without_dvc(origin: Tree, tmp_path: Path) -> None:
    tree = origin.copy(tmp_path / "tree")
    tree.run("rm", "-rf", ".dvc", "dvc.yaml", "dvc.lock")
    tree.set("train", "lr", 0.2)
    assert tree.ran("snakemake") == ["fit"]


def test_stale_files_take_their_directories_along(tmp_path: Path) -> None:
    """A directory may be all that a rule makes, and without a timestamp its own date counts."""
    model, outside = tmp_path / "data/model", tmp_path / "data"
    (model / "deep").mkdir(parents=True)
    weight = model / "deep/weight.json"
    weight.touch()
    outputs.forget(weight, {}, [model])
    assert [path.stat().st_mtime for path in (weight, model / "deep", model)] == [1, 1, 1]
    assert outside.stat().st_mtime > 1


def test_stage_that_calls_something_else(tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text("stages:\n  one:\n    cmd: make one\n")
    with pytest.raises(ValueError, match=r"dvc.yaml: stages.one.cmd = 'make one'; expected snakemake --allowed-rules"):
        pipeline.stages(path)


@pytest.mark.parametrize(
    ("program", "ours"), [("bin/snakemake", True), ("snakemake/__main__.py", True), ("pytest/__main__.py", False)]
)
def test_other_programs_have_a_main_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, ours: bool
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"/usr/{program}"])
    assert bridge._concerned(SimpleNamespace(is_main_process=True, basedir=str(tmp_path))) == ours
