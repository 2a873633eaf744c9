"""MLflow agrees with the run files, whatever was imported before."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tessera.common.run_files import RunRecord
from tessera.workflow import tracking, views

RECORD = RunRecord(
    experiment="puzzle/library",
    name="puzzle_library/layer=3",
    params={"library": {"ridge": 0.1, "betas": [0.9, 0.95]}, "seed": 0, "source": "text"},
    tags={"device": "cpu", "snakemake.rule": "puzzle_library"},
    metrics={"loss": 0.5},
    history={"bld/loss": [(step, 1 / (step + 1)) for step in range(1500)]},
    figures=["reports/figures/loss.svg"],
    note="One layer's *library*.",
)
FILE = "reports/metrics/puzzle/puzzle_library/layer_3.json"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose tables are made: that takes seconds."""
    root = tmp_path_factory.mktemp("template")
    tracking.sync(root)
    return root / tracking.DATABASE


@pytest.fixture
def root(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with a database and one run file."""
    shutil.copy(template, tmp_path)
    RECORD.write(tmp_path / FILE)
    (tmp_path / "reports/figures").mkdir()
    (tmp_path / "reports/figures/loss.svg").write_text("<svg/>")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(root: Path) -> list:
    """All runs of all experiments."""
    client = tracking._client(root)
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_everything_arrives(root: Path) -> None:
    (root / "requirements.lock").write_text("numpy==2\n")
    assert tracking.sync(root) == 1
    [run] = runs(root)
    client = tracking._client(root)
    assert client.get_experiment(run.info.experiment_id).name == "puzzle/library"
    assert (run.info.run_name, run.info.status) == (RECORD.name, "FINISHED")
    assert run.data.params == {
        "library.ridge": "0.1",
        "library.betas": "[0.9, 0.95]",
        "seed": "0",
        "source": "text",
    }
    assert run.data.metrics["loss"] == 0.5
    history = client.get_metric_history(run.info.run_id, "bld/loss")
    assert sorted((point.step, point.value) for point in history) == RECORD.history["bld/loss"]
    assert [one.path for one in client.list_artifacts(run.info.run_id, "figures")] == ["figures/loss.svg"]
    assert (root / "mlartifacts/puzzle/library" / run.info.run_id / "artifacts/figures/loss.svg").is_file()
    tags = run.data.tags
    assert tags["mlflow.note.content"] == RECORD.note
    assert tags["device"] == "cpu"
    assert tags["run.file"] == FILE
    assert len(tags["lock.sha"]) == 12
    assert tags["current"] == "true"
    assert tracking.PENDING not in tags
    assert "mlflow.source.git.commit" not in tags


def test_twice_is_once(root: Path) -> None:
    assert [tracking.sync(root), tracking.sync(root)] == [1, 0]
    assert len(runs(root)) == 1


def test_changed_results_are_another_run(root: Path) -> None:
    tracking.sync(root)
    RECORD.model_copy(update={"metrics": {"loss": 0.4}}).write(root / FILE)
    assert tracking.sync(root) == 1
    assert {run.data.metrics["loss"]: run.data.tags["current"] for run in runs(root)} == {0.5: "false", 0.4: "true"}
    RECORD.write(root / FILE)  # as git checkout brings it back
    assert tracking.sync(root) == 0
    assert {run.data.metrics["loss"]: run.data.tags["current"] for run in runs(root)} == {0.5: "true", 0.4: "false"}


def test_killed_import(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, "set_terminated", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        tracking.sync(root)
    [half] = runs(root)
    assert tracking.PENDING in half.data.tags
    assert tracking.sync(root) == 1
    [run] = runs(root)
    assert run.info.run_id != half.info.run_id
    assert run.info.status == "FINISHED"


def test_commit_and_stage(root: Path) -> None:
    (root / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  puzzle_library:\n    cmd: x\n    deps:\n    - {path: data/a, md5: 1a}\n"
        "    - {path: data/b, md5: 2b.dir}\n    outs:\n    - {path: reports/metrics/puzzle, md5: 3c.dir}\n"
    )
    git(root, "init", "-q")
    git(root, "add", FILE)
    git(root, "commit", "-q", "-m", "results")
    made = git(root, "rev-parse", "HEAD")
    git(root, "commit", "-q", "--allow-empty", "-m", "later")
    tracking.sync(root)
    [run] = runs(root)
    assert run.data.tags["mlflow.source.git.commit"] == made
    assert run.data.tags["git.dirty"] == "false"
    assert run.data.tags["dvc.stage"] == "puzzle_library"
    assert run.data.tags["dvc.deps.md5"] == "data/a 1a\ndata/b 2b.dir"
    RECORD.model_copy(update={"metrics": {"loss": 0.4}}).write(root / FILE)
    tracking.sync(root)
    newest = next(run for run in runs(root) if run.data.tags["current"] == "true")
    assert newest.data.tags["git.dirty"] == "true"
    assert newest.data.tags["mlflow.source.git.commit"] == git(root, "rev-parse", "HEAD")


def test_each_file_has_the_commit_that_changed_it_last(root: Path) -> None:
    other = FILE.replace("layer_3", "layer 4 ü")
    (root / other).write_text((root / FILE).read_text())
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "both")
    first = git(root, "rev-parse", "HEAD")
    RECORD.model_copy(update={"note": "Again."}).write(root / FILE)
    git(root, "commit", "-q", "-a", "-m", "one")
    second = git(root, "rev-parse", "HEAD")
    RECORD.write(root / FILE.replace("layer_3", "layer_5"))
    tracking.sync(root)
    tags = {run.data.tags["run.file"]: run.data.tags for run in runs(root)}
    assert tags[other]["mlflow.source.git.commit"] == first
    assert tags[FILE]["mlflow.source.git.commit"] == second
    assert {tags[other]["git.dirty"], tags[FILE]["git.dirty"]} == {"false"}
    assert tags[FILE.replace("layer_3", "layer_5")]["git.dirty"] == "true"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"loss": "low"}}, r"layer_3\.json: metrics\.loss = 'low'; must be a valid number"),
        ({"metric": {}}, r"layer_3\.json: metric: unknown key; did you mean 'metrics'\?"),
        ({"history": {"loss": [[0.5, 1.0]]}}, r"layer_3\.json: history\.loss\.0\.0 = 0\.5; must be a valid integer"),
        ({"name": ""}, r"layer_3\.json: name = ''"),
        ({"metrics": {"a//b": 1.0}}, r"layer_3\.json: .*metric 'a//b': valid are at most 250 letters"),
        ({"params": {"a@b": 1}}, r"layer_3\.json: .*parameter 'a@b': valid are at most 250 letters"),
    ],
)
def test_bad_files_are_named_and_the_others_imported(root: Path, change: dict, message: str) -> None:
    RECORD.write(root / FILE.replace("layer_3", "layer_2"))
    path = root / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message) as caught:
        tracking.sync(root)
    assert "\n" not in str(caught.value)
    [run] = runs(root)
    assert run.data.tags["run.file"] == FILE.replace("layer_3", "layer_2")


def test_truncated_file(root: Path) -> None:
    path = root / FILE
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"layer_3\.json: truncated or not a \.json file"):
        tracking.sync(root)


def test_other_files_are_not_run_files(root: Path) -> None:
    (root / "reports/metrics/puzzle/speed.json").write_text('{"tokens_per_second": 12.5}')
    assert tracking.sync(root) == 1


def test_long_values_are_kept_whole(root: Path) -> None:
    values = {"short": "x" * 6000, "long": "y" * 6001 + "a", "list": list(range(3000))}
    RECORD.model_copy(update={"params": values}).write(root / FILE)
    other = values | {"long": "y" * 6001 + "b"}
    RECORD.model_copy(update={"params": other}).write(root / FILE.replace("layer_3", "layer_4"))
    tracking.sync(root)
    first, second = sorted(runs(root), key=lambda run: run.data.tags["run.file"])
    assert first.data.params["short"] == values["short"]
    assert first.data.params["long"] != second.data.params["long"]
    assert first.data.params["list"] == second.data.params["list"]
    digest = hashlib.sha256(values["long"].encode()).hexdigest()
    assert first.data.params["long"] == f"sha256 {digest}, 6002 characters, in params.json"
    kept = root / "mlartifacts/puzzle/library" / first.info.run_id / "artifacts/params.json"
    assert json.loads(kept.read_text()) == {"long": values["long"], "list": json.dumps(values["list"])}


def test_many_dependencies_are_summed_up(root: Path) -> None:
    deps = "".join(f"    - {{path: src/a/long/name/of/a/module/number_{i}.py, md5: {i:032x}}}\n" for i in range(200))
    (root / "dvc.lock").write_text(
        f"stages:\n  puzzle_library:\n    deps:\n{deps}    outs:\n    - {{path: reports/metrics/puzzle, md5: 3c.dir}}\n"
    )
    for _ in range(2):
        tracking.sync(root)
        [run] = runs(root)
        assert run.data.tags["dvc.deps.md5"].startswith("sha256 ")
        assert run.data.tags["dvc.deps.md5"].endswith("characters, in dvc.lock")


def test_deleted_experiment_stays_deleted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracking.sync(root)
    client = tracking._client(root)
    experiment = client.get_experiment_by_name(RECORD.experiment).experiment_id
    client.delete_experiment(experiment)
    RECORD.model_copy(update={"metrics": {"loss": 0.4}}).write(root / FILE)
    RECORD.model_copy(update={"experiment": "other"}).write(root / FILE.replace("layer_3", "layer_4"))
    assert tracking.sync(root) == 1
    assert [run.data.metrics["loss"] for run in runs(root)] == [0.5]
    command = f"MLFLOW_TRACKING_URI=sqlite:///mlflow.db mlflow experiments restore -x {experiment}"
    assert capsys.readouterr().err == (
        f"puzzle/library is not imported, for it was deleted in MLflow; to have it back: {command}\n"
    )
    assert views.save(root) == {}
    subprocess.run(["env", *command.split()], cwd=root, check=True, capture_output=True)
    assert tracking.sync(root) == 1
    assert {run.data.metrics["loss"]: run.data.tags["current"] for run in runs(root) if "layer_3" in str(run.data)} == {
        0.5: "false",
        0.4: "true",
    }


def test_deleted_run_stays_deleted(root: Path) -> None:
    tracking.sync(root)
    [run] = runs(root)
    tracking._client(root).delete_run(run.info.run_id)
    assert [tracking.sync(root), tracking.sync(root)] == [0, 0]
    assert runs(root) == []
    (root / FILE).unlink()
    assert tracking.sync(root) == 0
    RECORD.model_copy(update={"metrics": {"loss": 0.4}}).write(root / FILE)
    assert tracking.sync(root) == 1


def test_missing_figure(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "reports/figures/loss.svg").unlink()
    tracking.sync(root)
    assert "the figure reports/figures/loss.svg is not there" in capsys.readouterr().err
    assert len(runs(root)) == 1


@pytest.mark.slow
def test_two_importers_at_once_and_no_database_yet(root: Path) -> None:
    (root / tracking.DATABASE).unlink()
    command = [sys.executable, "-c", "from tessera.common import tracking; print(tracking.sync())"]
    both = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in both) == ["0", "1"]
    assert len(runs(root)) == 1
