"""MLflow agrees with the run files, whatever was imported before."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tracked_runs import FILE, OTHER, RECORD, runs, write

from tessera.workflow import tracking, views


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
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id, "figures")] == ["figures/loss.svg"]
    assert (root / "mlartifacts/puzzle/library" / run.info.run_id / "artifacts/figures/loss.svg").is_file()
    tags = run.data.tags
    assert tags["mlflow.note.content"] == RECORD.note
    assert tags["device"] == "cpu"
    assert tags["run.file"] == FILE
    assert tags["snakemake.rule"] == "puzzle_library"
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("snakemake puzzle_library", "LOCAL")
    assert run.inputs.dataset_inputs == []  # dvc.lock is not there
    assert len(tags["lock.sha"]) == 12
    assert tags["current"] == "true"
    assert tracking.PENDING not in tags
    assert "mlflow.source.git.commit" not in tags


def test_twice_is_once(root: Path) -> None:
    assert [tracking.sync(root), tracking.sync(root)] == [1, 0]
    assert len(runs(root)) == 1


def test_changed_results_are_another_run(root: Path) -> None:
    tracking.sync(root)
    write(root, {"metrics": {"loss": 0.4}})
    assert tracking.sync(root) == 1
    assert {run.data.metrics["loss"]: run.data.tags["current"] for run in runs(root)} == {0.5: "false", 0.4: "true"}
    write(root, {})  # as git checkout brings it back
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"loss": "low"}}, r"puzzle\.jsonl, line 1: metrics\.loss = 'low'; must be a valid number"),
        ({"metric": {}}, r"puzzle\.jsonl, line 1: metric: unknown key; did you mean 'metrics'\?"),
        (
            {"history": {"loss": [[0.5, 1.0]]}},
            r"puzzle\.jsonl, line 1: history\.loss\.0\.0 = 0\.5; must be a valid integer",
        ),
        ({"name": ""}, r"puzzle\.jsonl, line 1: name = ''"),
        ({"metrics": {"a//b": 1.0}}, r"puzzle\.jsonl, line 1: .*metric 'a//b': must have at most 250 letters"),
        ({"params": {"a@b": 1}}, r"puzzle\.jsonl, line 1: .*parameter 'a@b': must have at most 250 letters"),
    ],
)
def test_bad_files_are_named_and_the_others_imported(root: Path, change: dict, message: str) -> None:
    write(root, {}, file=OTHER)
    path = root / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(ValueError, match=message) as caught:
        tracking.sync(root)
    assert "\n" not in str(caught.value)
    [run] = runs(root)
    assert run.data.tags["run.file"] == OTHER


def test_truncated_file(root: Path) -> None:
    path = root / FILE
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"puzzle\.jsonl, line 1: not JSON"):
        tracking.sync(root)


def test_other_files_are_not_run_files(root: Path) -> None:
    (root / "reports/runs/speed.json").write_text('{"tokens_per_second": 12.5}')
    assert tracking.sync(root) == 1


def test_long_values_are_kept_whole(root: Path) -> None:
    values = {"short": "x" * 6000, "long": "y" * 6001 + "a", "list": list(range(3000))}
    other = values | {"long": "y" * 6001 + "b"}
    write(root, {"params": values}, {"params": other, "name": "other"})
    tracking.sync(root)
    first, second = sorted(runs(root), key=lambda run: run.info.run_name)
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
        f"stages:\n  puzzle_library:\n    deps:\n{deps}    outs:\n    - {{path: reports/runs, md5: 3c.dir}}\n"
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
    write(root, {"metrics": {"loss": 0.4}}, {"experiment": "other"})
    assert tracking.sync(root) == 1
    assert [run.data.metrics["loss"] for run in runs(root)] == [0.5]
    command = f"MLFLOW_TRACKING_URI=sqlite:///mlflow.db mlflow experiments restore -x {experiment}"
    assert capsys.readouterr().err == (
        f"puzzle/library is not imported because it was deleted in MLflow; to restore it: {command}\n"
    )
    assert views.save(root) == {}
    subprocess.run(["env", *command.split()], cwd=root, check=True, capture_output=True)
    assert tracking.sync(root) == 1
    client = tracking._client(root)
    restored = client.search_runs([experiment])
    assert {run.data.metrics["loss"]: run.data.tags["current"] for run in restored} == {0.5: "false", 0.4: "true"}


def test_deleted_run_stays_deleted(root: Path) -> None:
    tracking.sync(root)
    [run] = runs(root)
    tracking._client(root).delete_run(run.info.run_id)
    assert [tracking.sync(root), tracking.sync(root)] == [0, 0]
    assert runs(root) == []
    (root / FILE).unlink()
    assert tracking.sync(root) == 0
    write(root, {"metrics": {"loss": 0.4}})
    assert tracking.sync(root) == 1


def test_missing_figures_are_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "reports/figures/loss.svg").unlink()
    write(root, {}, {"name": "other"}, {"name": "third", "figures": ["reports/details/curve.svg"]})
    tracking.sync(root)
    expected = "2 figures are missing (dvc pull fetches them), such as reports/details/curve.svg\n"
    assert capsys.readouterr().err == expected
    assert len(runs(root)) == 3


@pytest.mark.slow
def test_two_importers_at_once_and_no_database_yet(root: Path) -> None:
    (root / tracking.DATABASE).unlink()
    command = [sys.executable, "-c", "from tessera.workflow import tracking; print(tracking.sync())"]
    both = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in both) == ["0", "1"]
    assert len(runs(root)) == 1
