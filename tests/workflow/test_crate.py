"""The provenance of a run: complete, and readable by the library of its standard."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tessera.workflow import crate, environment

DVC = """
stages:
  first:
    cmd: snakemake --allowed-rules make first -- first
    outs: [data/made]
  second:
    cmd: snakemake --allowed-rules use second -- second
    deps: [data/made]
    metrics: [reports/one.json]
"""
LOCK = """
schema: '2.0'
stages:
  first:
    cmd: make
    deps: [{path: data/raw.txt, hash: md5, md5: aa, size: 3}]
    outs: [{path: data/made, hash: md5, md5: bb.dir, size: 9, nfiles: 2}]
  second:
    cmd: use
    deps: [{path: data/made, hash: md5, md5: bb.dir, size: 9, nfiles: 2}]
    outs: [{path: reports/one.json, hash: md5, md5: cc, size: 5}]
"""


@pytest.fixture
def root(tmp_path: Path, repository: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(DVC)
    (tmp_path / "dvc.lock").write_text(LOCK)
    shutil.copy(repository / "CITATION.cff", tmp_path)
    (tmp_path / "data").mkdir()
    shutil.copy(repository / "data/packages.yaml", tmp_path / "data")
    for name, seconds in (("make/0", 60), ("make/1", 30), ("use", 5)):
        path = tmp_path / f"logs/benchmarks/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{seconds}\t100\n")
    return tmp_path


def write(root: Path) -> Path:
    path = root / crate.NAME
    crate.write(crate.build(root, environment.describe(root / "none")), path)
    return path


def test_read_back(root: Path, repository: Path) -> None:
    read = crate.check(write(root))
    assert read.mainEntity.id == "Snakefile"
    jobs = read.get("#jobs-make")
    assert jobs["name"] == "2 jobs of make" and jobs["description"] == "90 s together, at most 100 MiB each"
    assert jobs["instrument"].id == "#rule-make" and jobs["resourceUsage"].id == "#machine"
    assert [one.id for one in jobs["object"]] == ["data/raw.txt"]
    made = read.get("data/made/")
    assert made["identifier"] == "md5:bb.dir" and made.type == "Dataset"
    assert [one.id for one in read.get("#jobs-use")["object"]] == ["data/made/"]
    assert [one.id for one in read.get("#jobs-use")["result"]] == ["reports/one.json"]
    assert jobs["startTime"] <= jobs["endTime"]
    assert environment.describe()["processor"] in read.get("#machine")["name"]
    assert {one.id for one in read.root_dataset["conformsTo"]} == set(crate.PROFILES)


def test_every_input_has_its_licences(root: Path) -> None:
    graph = json.loads(write(root).read_text())["@graph"]
    fetched = [one for one in graph if one["@id"].startswith("data/raw/")]
    assert len(fetched) == (root / "data/packages.yaml").read_text().count("sha256: ")
    for one in fetched:
        assert one["license"] and one["conditionsOfAccess"].startswith("package: ") and len(one["sha256"]) == 64


def test_same_files_same_bytes(root: Path) -> None:
    assert write(root).read_bytes() == write(root).read_bytes()


def test_a_stage_that_was_never_run_is_left_out(root: Path) -> None:
    def rules() -> set[str]:
        graph = json.loads(write(root).read_text())["@graph"]
        return {one["@id"] for one in graph if one["@id"].startswith("#rule-")}

    assert rules() == {"#rule-make", "#rule-use"}
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    del lock["stages"]["second"]
    (root / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert rules() == {"#rule-make"}


def test_what_is_missing_is_named(root: Path) -> None:
    content = json.loads(write(root).read_text())
    content["@graph"] = [one for one in content["@graph"] if one["@id"] != "#rule-make"]
    (root / crate.NAME).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"#jobs-make: instrument refers to #rule-make, which is not described"):
        crate.check(root / crate.NAME)
    (root / "dvc.lock").write_text("stages: {elsewhere: {}}")
    with pytest.raises(ValueError, match=r"dvc.lock: no stage of dvc.yaml; make run records them"):
        write(root)
    shutil.rmtree(root / "logs")
    (root / "dvc.lock").write_text(LOCK)
    with pytest.raises(FileNotFoundError, match=r"logs/benchmarks: no benchmark files"):
        write(root)
