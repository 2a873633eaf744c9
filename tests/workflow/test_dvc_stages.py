"""The derived entries of dvc.yaml, on the tiny pipeline."""

import shutil
from pathlib import Path

import pytest

from tessera.workflow import dvc_stages, pipeline

TINY = Path(__file__).parents[1] / "workflow" / "tiny"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(TINY, tmp_path / "tree")
    monkeypatch.chdir(tmp_path / "tree")
    return tmp_path / "tree"


def test_facts(tree: Path) -> None:
    stages = pipeline.stages()
    facts = dvc_stages.facts(tree / "Snakefile", stages)
    shards = {f"data/shards/{i}.csv" for i in range(4)}
    assert facts["prepare"].rules == ["noise", "shard", "prepare"]
    assert facts["prepare"].inputs == {"data/raw.txt", "src/noise.py", "src/shard.py"}
    assert facts["prepare"].temporary == {"data/noise.csv"}
    assert facts["prepare"].sections == {"noise", "prepare"}
    assert facts["train"].rules == ["fit", "train"]
    assert facts["train"].inputs == {*shards, "src/fit.py"}
    assert facts["train"].outputs == {"data/model", "reports/metrics.json"}


def test_refresh(tree: Path) -> None:
    path = tree / "dvc.yaml"
    as_written = path.read_text()
    assert dvc_stages.refresh(path, tree / "Snakefile") == []
    path.write_text(
        as_written.replace("      - src/noise.py\n", "").replace(
            "      - data/raw.txt\n", "      - data/raw.txt  # added by hand\n"
        )
        + "    plots:\n      - reports/curve.csv  # kept\n"
    )
    assert dvc_stages.refresh(path, tree / "Snakefile") == ["prepare"]
    assert "- src/noise.py\n" in path.read_text()
    assert "# kept" in path.read_text()
    assert dvc_stages.refresh(path, tree / "Snakefile") == []


def test_directory_that_a_rule_reads_whole(tree: Path) -> None:
    snakefile, path = tree / "Snakefile", tree / "dvc.yaml"
    before, rules = path.read_text(), snakefile.read_text()
    (tree / "parent").mkdir()
    for name in ("a", "b"):
        (tree / "parent" / name).touch()
    source = "        source=['parent/a', 'parent/b'],\n"
    snakefile.write_text(
        f"DIRECTORIES = ['parent']\n{rules}".replace(
            '        raw="data/raw.txt",\n', f'{source}        raw="data/raw.txt",\n'
        )
    )
    assert dvc_stages.refresh(path, snakefile) == ["prepare"]
    assert path.read_text() == before.replace("      - data/raw.txt\n", "      - data/raw.txt\n      - parent\n")
    snakefile.write_text(rules)
    assert dvc_stages.refresh(path, snakefile) == ["prepare"]
    assert path.read_text() == before


def test_a_folder_replaces_its_code_if_most_of_it_is_run(tmp_path: Path) -> None:
    files = [f"src/pack/study/{name}.py" for name in ("a", "b", "c", "d")]
    files += [f"src/pack/study/report/{name}.py" for name in ("e", "f")]
    files += ["src/pack/common/x.py", "src/pack/common/y.py", "src/pack/__init__.py"]
    for path in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    others = {"data/raw.txt", "src/pack/__init__.py", "src/pack/common/x.py"}
    assert dvc_stages.folded({*files[:4], *others}, tmp_path) == {"src/pack/study", *others}
    assert dvc_stages.folded({*files[:3], *others}, tmp_path) == {*files[:3], *others}  # half of it
    assert dvc_stages.folded(set(files[6:]), tmp_path) == set(files[6:])  # two files are too few for a folder
    assert dvc_stages.folded(set(files), tmp_path) == {"src/pack/study", *files[6:]}  # never the whole package


def test_listed_entries_are_kept_except_code_outs_and_deleted_files(tree: Path) -> None:
    for name in ("packages.yaml", "to-pull.dvc"):
        (tree / "data" / name).touch()
    stages = pipeline.stages()
    facts = dvc_stages.facts(tree / "Snakefile", stages)
    listed: dict[str, dict[str, list[str]]] = {
        "prepare": {
            "deps": ["data/deleted.txt", "data/packages.yaml", "data/to-pull/part.txt", "src/old.py"],
            "params": ["seed", "noise.scale"],
        },
        "train": {"deps": ["data/shards"]},
    }
    entries = dvc_stages.expected(stages, facts, listed)
    data = ["data/packages.yaml", "data/raw.txt", "data/to-pull/part.txt"]
    assert entries["prepare"]["deps"] == [*data, "src/noise.py", "src/shard.py"]
    assert entries["prepare"]["params"] == ["noise", "prepare", "seed"]
    assert entries["train"]["deps"] == ["data/shards", "src/fit.py"]
    assert entries["train"]["params"] == ["train"]
