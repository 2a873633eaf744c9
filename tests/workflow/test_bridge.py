"""Snakemake and DVC over one tree: whichever runs, the other agrees, and nothing stale is ever called current."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Tree, isolated

from tessera.workflow import bridge, outputs, pipeline

SHARDS = [f"shard {i}" for i in range(4)]
PREPARE = ["noise", *SHARDS]
ALL = ["fit", *PREPARE]
ADOPTED = "adopted from dvc.lock: prepare train"


@pytest.fixture
def tree(origin: Tree, tmp_path: Path) -> Tree:
    """The working copy after its first run, with all its memory."""
    return origin.copy(tmp_path / "tree")


@pytest.fixture
def clone(origin: Tree, tmp_path: Path) -> Tree:
    """A fresh clone with its data pulled."""
    return origin.clone(tmp_path / "clone")


def agree(tree: Tree) -> None:
    """Assert that neither tool finds anything to do."""
    assert tree.ran("snakemake") == []
    assert tree.ran("dvc", "repro") == []
    assert "up to date" in tree.run("dvc", "status")


def test_first_run(origin: Tree, tree: Tree) -> None:
    assert origin.first == ALL
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
def test_part_of_a_stage_is_not_recorded(tree: Tree) -> None:
    tree.set("prepare", "rows", 120)
    assert tree.ran("snakemake", "data/shards/0.csv") == ["noise", "shard 0"]
    assert tree.lock()["prepare"]["params"]["params.yaml"]["prepare"]["rows"] == 200
    assert tree.ran("snakemake") == ALL  # the temporary file is made again, and so all that is made of it
    agree(tree)


@pytest.mark.slow
def test_killed_just_before_it_was_recorded(tree: Tree) -> None:
    tree.set("train", "lr", 0.2)
    tree.run("snakemake")
    tree.run("git", "checkout", "-q", "dvc.lock")
    (tree.path / pipeline.UNRECORDED).touch()
    assert tree.ran(sys.executable, "-c", "from tessera.workflow.run import run; raise SystemExit(run())") == []
    assert tree.lock()["train"]["params"]["params.yaml"]["train"]["lr"] == 0.2
    assert not (tree.path / pipeline.UNRECORDED).exists()
    agree(tree)


def test_deleted_lock_is_written_again(tree: Tree) -> None:
    lock = tree.path / "dvc.lock"
    before = lock.read_text()
    lock.unlink()
    assert tree.ran("snakemake") == []
    assert lock.read_text() == before
    agree(tree)


@pytest.mark.slow
@pytest.mark.parametrize("targets", [[], ["train"], ["data/model"]])
def test_stage_missing_from_the_lock_is_recorded_again(tree: Tree, targets: list[str]) -> None:
    lock = tree.path / "dvc.lock"
    before = lock.read_text()
    lock.write_text(before[: before.index("  train:")])
    assert tree.ran("snakemake", *targets) == []
    assert lock.read_text() == before


@pytest.mark.slow
def test_stage_missing_from_the_lock_that_is_not_current(tree: Tree) -> None:
    lock = tree.path / "dvc.lock"
    before = lock.read_text()
    lock.write_text(before[: before.index("  train:")])
    tree.set("train", "lr", 0.2)
    assert tree.ran("snakemake", "prepare") == []
    assert set(tree.lock()) == {"prepare"}
    assert tree.ran("snakemake") == ["fit"]
    agree(tree)


@pytest.mark.slow
def test_unrecorded_stage_outlives_a_run_of_another(tree: Tree) -> None:
    tree.set("train", "lr", 0.2)
    tree.run("snakemake")
    tree.run("git", "checkout", "-q", "dvc.lock")
    (tree.path / pipeline.UNRECORDED).write_text("train")
    assert tree.ran("snakemake", "--forcerun", "shard", "--", "prepare") == PREPARE
    assert (tree.path / pipeline.UNRECORDED).read_text() == "train"
    tree.run("snakemake")
    assert tree.lock()["train"]["params"]["params.yaml"]["train"]["lr"] == 0.2
    agree(tree)


@pytest.mark.slow
def test_directory_given_by_a_person(tree: Tree) -> None:
    """Like data.parent: directory:PATH. No results are recorded until dvc.yaml names it; then its content decides."""
    snakefile, weights = tree.path / "Snakefile", tree.path / "parent/weights"
    weights.parent.mkdir()
    weights.write_text("1")
    rules, raw = snakefile.read_text(), '        raw="data/raw.txt",\n'
    rules = rules.replace(raw, f"        source=glob('parent/*'),\n{raw}")
    snakefile.write_text(f"from glob import glob\nDIRECTORIES = ['parent']\n{rules}")
    words = "dvc.yaml: stages.prepare.deps lacks parent/weights; run tessera dvc"
    before = tree.lock()["prepare"]
    assert f"dvc.lock is not updated: {words}" in tree.run("snakemake")
    assert tree.lock()["prepare"] == before
    assert words in tree.run("dvc", "repro", "--force", "prepare", check=False)
    tree.run(sys.executable, "-c", "from tessera.common import dvc_stages; dvc_stages.refresh()")
    tree.run("dvc", "repro")
    agree(tree)
    for content, first, ran in (("2", "dvc repro", PREPARE), ("3", "snakemake", ALL)):
        weights.write_text(content)
        assert tree.ran(*first.split()) == ran
        agree(tree)
    weights.with_name("more").write_text("4")
    assert tree.ran("dvc", "repro") == PREPARE


@pytest.mark.slow
def test_smaller_grid_leaves_nothing_behind(tree: Tree) -> None:
    tree.set("prepare", "shards", 2)
    assert tree.ran("snakemake") == ["fit", "noise", "shard 0", "shard 1"]
    assert sorted(path.name for path in (tree.path / "data/shards").iterdir()) == ["0.csv", "1.csv"]
    agree(tree)


@pytest.mark.slow
def test_overlay_is_not_recorded(tree: Tree) -> None:
    before = (tree.path / "dvc.lock").read_bytes()
    (tree.path / "overlay.yaml").write_text("train: {lr: 0.2}")
    assert "overrode params.yaml" in tree.run("snakemake", "--configfile", "overlay.yaml")
    assert (tree.path / "dvc.lock").read_bytes() == before
    assert tree.ran("snakemake") == ["fit"]
    agree(tree)


@pytest.mark.slow
@pytest.mark.parametrize("edited", ["src/fit.py", "params.yaml"])
def test_edited_while_it_ran(tree: Tree, edited: str) -> None:
    tree.set("train", "lr", 0.2)
    script = tree.path / "src/fit.py"
    script.write_text(script.read_text() + "import time\ntime.sleep(4)\n")
    running = subprocess.Popen(
        ["snakemake"],
        cwd=tree.path,
        env=isolated(tree.path.parent) | {"TINY_RUNS": str(tree.log)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not tree.log.exists():
        time.sleep(0.05)
    if edited == "params.yaml":
        tree.set("train", "lr", 0.3)
    else:
        script.write_text(script.read_text().replace("sleep(4)", "sleep(0)"))
    _, words = running.communicate()
    assert f"changed under way: {edited}" in words
    assert tree.lock()["train"]["params"]["params.yaml"]["train"]["lr"] == 0.1
    assert tree.ran("snakemake") == ["fit"]
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
