"""A study is one folder: the one under tests/workflow/toy, copied into the package, runs, and all that is derived
from folders knows it.
"""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from trees import ROOT, isolated

TOY = Path(__file__).parent / "toy"
PARAMS = {"toy": {"steps": 20, "walks": {"few": 10, "many": 50}}}
#: What the workflow reads of a checkout.
COPIED = ("Snakefile", "params.yaml", "dvc.yaml", "profiles", "data/packages.yaml", "data/tasks", "reports/claims.yaml")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with the toy study in it."""
    tree = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(TOY, tree / "src/tessera/toy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in COPIED:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tree / name)
    with (tree / "params.yaml").open("a") as file:
        yaml.safe_dump(PARAMS, file)
    return tree


def run(tree: Path, *command: str) -> str:
    environment = isolated(tree) | {"PYTHONPATH": str(tree / "src"), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def snakemake(tree: Path, *arguments: str) -> str:
    return run(tree, "-m", "snakemake", "--cores", "1", *arguments)


@pytest.mark.slow
def test_a_folder_is_a_study(clone: Path) -> None:
    snakemake(clone, "toy")
    metrics = json.loads((clone / "reports/metrics/toy.json").read_text())
    assert metrics.keys() == {"few", "many"} and all(value > 0 for value in metrics.values())
    assert "| many |" in (clone / "reports/tables/toy/results.md").read_text()
    assert (clone / "reports/figures/toy/distance.svg").is_file()
    lines = (clone / "reports/runs/toy.jsonl").read_text().splitlines()
    assert [json.loads(line)["job"] for line in lines] == ["toy_walks/few", "toy_walks/many"]
    assert "Nothing to be done" in snakemake(clone, "toy")


@pytest.mark.slow
def test_what_is_derived_from_folders_knows_the_study(clone: Path) -> None:
    assert "reports/runs/toy.jsonl" in snakemake(clone, "--summary", "all")
    call = "from tessera.workflow import captions, views; print(*captions.captions(), *views.experiments())"
    known = run(clone, "-c", call).split()
    assert {"toy/distance.svg.rst", "toy/results.md.rst", "toy/walks"} <= set(known)
    describe = "from tessera.cli import app; app(['params', 'describe', 'toy'])"
    assert "Length of a walk." in run(clone, "-c", describe)


@pytest.mark.slow
def test_the_stage_of_the_documentation_is_completed(clone: Path) -> None:
    """Without it the study is named; with it, its rules, dependencies and parameters follow from the target."""
    dvc = ("-c", "from tessera.cli import app; app(['dvc'])")
    assert "no stage yet: toy" in run(clone, *dvc)
    stage = (ROOT / "docs/extending.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    path = clone / "dvc.yaml"
    added = "stages:\n" + textwrap.indent(textwrap.dedent(stage), "  ")
    path.write_text(path.read_text().replace("stages:\n", added, 1))
    said = run(clone, *dvc)
    assert "changed: toy" in said and "no stage yet" not in said
    completed = yaml.safe_load(path.read_text())["stages"]["toy"]
    assert completed["cmd"] == "snakemake --allowed-rules toy_report toy_walks toy -- toy"
    assert "src/tessera/toy" in completed["deps"] and {"toy", "seed"} <= set(completed["params"])
