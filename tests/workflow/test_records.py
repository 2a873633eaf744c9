"""What dvc.lock records of runs that were partial, killed, overridden or edited, and of a lock that was damaged."""

import subprocess
import sys
import time

import pytest
from trees import ALL, PREPARE, Tree, agree, isolated

from tessera.workflow import pipeline


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
    tree.run(sys.executable, "-c", "from tessera.workflow import dvc_stages; dvc_stages.refresh()")
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
