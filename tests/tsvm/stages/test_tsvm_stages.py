"""The T-SVM's stages on tiny sizes: files in, files out, valid runs, the same bytes again."""

import importlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tessera.common import files, run_files, stage
from tessera.tsvm import summaries
from tessera.tsvm.report import REPORT
from tessera.tsvm.report.views import EXPERIMENTS

NEURON = {"tau_m": 15.0, "tau_s": 3.75, "tau_c": 2.0}
PROBLEMS = {
    "problems": {"A": {"afferents": 40, "targets": 2, "seed": 0}},
    "shown": "A",
    "penalties": [0.1, 10.0],
    "online_steps": 20,
}
#: Tables of a reference problem.
TABLES = ("rounds", "trace", "support", "soft", "steps")
METHODS = ["tsvm", "one_sided", "dead_zone", "lp", "vertex", "least_squares", "perceptron"]
NOISE = {
    "afferents": 60, "targets": [2, 3], "problems": 2, "methods": METHODS, "draws": 6,
    "levels": {"jitter": [0.05, 2.0], "synaptic": [0.01, 0.5], "membrane": [0.01, 0.5]}, "window": 2.0,
    "validation": 2, "perceptron_steps": 500, "bootstrap": 20,
}  # fmt: skip
SWEEP = {"tau_cs": [1.0, 4.0], "holds": [0.0, 1.0], "problems": 1, "jitter": 0.5, "draws": 5}
BRIAN = {"steps": [0.1], "draws": 2, "membrane": 0.1}
KERNELS = {
    "afferents": 2, "volley": 40.0, "target": 43.0, "duration": 60.0, "scale": 0.3, "membrane": [0.0, 1.0],
    "jitter": [0.0, 8.0], "draws": 3, "dt": 0.25,
}  # fmt: skip
REAL = {"penalties": [1.0, 10.0], "folds": 2, "lead": 3.0, "window": 3.0}
MEMBERS = {"vowels_train": "a/TRAIN.ts", "vowels_test": "a/TEST.ts"}
LOAD = {"afferents": 20, "targets": [1, 4], "replicates": 2, "penalty": 100.0, "perceptron_steps": 50}


PARAMS = {
    "neuron": NEURON, "problems": PROBLEMS, "load": LOAD, "noise": NOISE, "sweep": SWEEP, "brian": BRIAN,
    "kernels": KERNELS, "real": REAL,
}  # fmt: skip


def call(name: str, params: dict, **arguments) -> None:
    """Run a stage as its rule does, in this process."""
    words = ["--params", json.dumps(params)]
    for key, value in arguments.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{key.replace('_', '-')}", *map(str, values)]
    stage.run(importlib.import_module(f"tessera.tsvm.stages.{name}").main, words)


def sections(*names: str) -> dict:
    return {name: PARAMS[name] for name in names} | {"seed": 1}


def problem(root: Path) -> None:
    tables = {name: root / name for name in TABLES}
    call("problem", {"neuron": NEURON, "problems": PROBLEMS}, problem="A", numbers=root / "A.json", **tables)


def series(rng: np.random.Generator, count: int) -> str:
    """A .ts file of two speakers who differ in the mean of both channels, in series of unequal length."""
    lines = ["@data"]
    for i in range(count):
        values = rng.normal(size=(2, 5 + i % 3)) + (i % 2) * np.array([[2.0], [-2.0]])
        lines.append(":".join(",".join(f"{v:.4f}" for v in channel) for channel in values) + f":{1 + i % 2}")
    return "\n".join(lines)


def speech(root: Path, task: str = "vowels_1_2") -> None:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(root / "a.whl", "w") as wheel:
        for name, count in (("TRAIN.ts", 24), ("TEST.ts", 12)):
            wheel.writestr(f"a/{name}", series(rng, count))
    others = pd.DataFrame([{"task": task, "tempotron": 0.9, "logistic": 0.8, "chance": 0.5}])
    files.write_parquet(root / "accuracies", others)
    inputs = {"speaker_pairs": [[1, 2]], "levels": 3, "frame": 6.4, "members": MEMBERS}
    call(
        "real", sections("neuron", "real") | inputs, vowels=root / "a.whl", tempotron=root / "accuracies",
        accuracies=root / "speech",
    )  # fmt: skip


def noise(root: Path, index: int) -> None:
    outputs = {"curves": root / f"curves{index}", "critical": root / f"critical{index}"}
    call("noise", sections("neuron", "noise"), problem=index, **outputs)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A directory in which all stages but the last have run, at tiny sizes."""
    root = tmp_path_factory.mktemp("tsvm")
    problem(root)
    for targets in LOAD["targets"]:
        call("load", sections("neuron", "load"), targets=targets, problems=root / f"load{targets}")
    for index in range(NOISE["problems"]):
        noise(root, index)
    call("sweep", sections("neuron", "noise", "sweep"), margins=root / "sweep")
    call("brian", sections("neuron", "problems", "brian"), delays=root / "delays", numbers=root / "brian")
    call("kernels", sections("neuron", "kernels"), margins=root / "xor_margins", noise=root / "xor_noise")
    speech(root)
    return root


def publish(root: Path, out: Path, figures: list[str] | None = None) -> None:
    names = list(REPORT.figures) if figures is None else figures
    inputs = {name: root / name for name in (*TABLES, "sweep", "brian", "xor_margins", "xor_noise", "speech")}
    inputs |= {name: sorted(root.glob(f"{name}[0-9]*")) for name in ("load", "curves", "critical")}
    call(
        "report", {"tsvm": PARAMS, "seed": 1}, problems=root / "A.json", **inputs,
        texts=[out / f"{name}.md" for name in REPORT.texts], figures=[out / f"{name}.svg" for name in names],
        tables=[out / f"{name}.csv" for name in REPORT.tables], metrics=out / "metrics.json", runs=out / "runs.jsonl",
    )  # fmt: skip


@pytest.fixture(scope="module")
def published(done, tmp_path_factory) -> Path:
    """A directory with the whole report."""
    out = tmp_path_factory.mktemp("report")
    publish(done, out)
    return out


def test_a_problem_is_certified_and_its_envelope_holds(done):
    numbers = files.read_json(done / "A.json")
    assert numbers["hold_certified"] == 1 and numbers["free_f1"] == 1
    assert numbers["hold_up"] <= numbers["one_sided_up"] * (1 + 1e-6)
    assert numbers["online_margin"] <= numbers["hold_up"]
    trace = files.read_parquet(done / "trace")
    assert (trace["potential"] <= trace["upper"] + 1e-6).all()
    held = trace.dropna(subset=["lower"])
    assert len(held) and (held["unreset"] >= held["lower"] - 1e-6).all()
    rounds = files.read_parquet(done / "rounds")
    assert (rounds["low"] <= rounds["up"]).all()


def test_a_dear_slack_gives_the_hard_margin_and_a_cheap_one_less(done):
    soft = files.read_parquet(done / "soft").set_index("penalty")
    assert abs(soft.loc[10.0, "excess"]) < 1e-3 and soft.loc[0.1, "excess"] < 0


def test_loads_say_how_each_problem_ended(done):
    table = files.read_parquet(done / "load4")
    assert set(table["status"]) <= {"certified", "feasible", "infeasible", "undecided"}
    assert (table["low"] <= table["up"]).all() and table["soft_f1"].between(0, 1).all()


def test_every_method_meets_the_same_noise_and_predictions_are_of_exact_ones(done):
    table = files.read_parquet(done / "critical0").set_index(["method", "kind"])
    assert set(table.index.get_level_values("method")) == set(METHODS)
    assert table.loc["tsvm", "by_survival"].between(1e-3, 10).all()
    assert table.loc["perceptron", "by_margin"].isna().all()
    assert (table.loc["vertex", "margin"] < 0.1 * table.loc["lp", "margin"]).all()
    # The largest |w|-margin is the T-SVM's: of all exact methods it has the largest margin over |w|.
    curves = files.read_parquet(done / "curves0")
    weak = curves[(curves["method"] == "tsvm") & (curves["level"] < 0.06)]
    assert (weak["perfect"] == 1).all()


def test_longer_hold_windows_cost_margin(done):
    assert summaries.sweep_metrics(files.read_parquet(done / "sweep"))["rises_with_hold"] == 0


def test_brian_makes_the_same_spikes(done):
    numbers = files.read_json(done / "brian")
    assert numbers["missed_0.1"] == numbers["extra_0.1"] == 0
    assert 0 <= numbers["delay_low_0.1"] <= numbers["delay_high_0.1"] < 1 and numbers["noise_same"] == 1
    assert len(files.read_parquet(done / "delays")) == numbers["targets"]


def test_the_exclusive_or_is_impossible_for_linear_kernels_and_right_without_noise_for_others(done):
    table = files.read_parquet(done / "xor_margins").set_index("kernel")
    assert (table.loc[["linear", "separate branches"], "status"] == "infeasible").all()
    noisy = files.read_parquet(done / "xor_noise")
    assert (noisy[noisy["level"] == 0]["right"] == 1).all() and len(noisy["kernel"].unique()) == 7
    assert noisy[noisy["level"] > 0]["right"].min() < 1


def test_the_neuron_fires_on_time_for_one_of_two_speakers(done):
    (row,) = files.read_parquet(done / "speech").to_dict("records")
    assert row["timed"] > 0.6 and row["binary"] > 0.6 and row["svm"] > 0.6 and row["tempotron"] == 0.9
    assert 0 <= row["on_time"] <= 1 and row["n_firing"] == 6


def test_pairs_that_the_tempotron_lacks_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        speech(tmp_path, "vowels_3_4")
    assert "has no task vowels_1_2" in capsys.readouterr().err


def test_the_report_draws_and_tabulates(published):
    for name in REPORT.figures:
        assert (published / f"{name}.svg").stat().st_size > 5000
    metrics = files.read_json(published / "metrics.json")
    assert metrics["problems"]["A"]["hold_certified"] == 1
    assert "| A | 40 | 2 |" in (published / "results.md").read_text()
    assert metrics["noise"]["jitter"]["tsvm"]["ratio"]["value"] == 1
    assert "proved impossible for these kernels: linear" in (published / "summary.md").read_text()


def test_there_is_one_run_per_job_and_method_with_what_its_experiment_is(published):
    records = run_files.read(published / "runs.jsonl")
    assert {record.experiment for record in records} == set(EXPERIMENTS)
    by_job = {(record.job, record.name): record for record in records}
    noisy = by_job["tsvm_noise/p1", "problem 1, lp"]
    assert noisy.flat_params()["method"] == "lp" and noisy.metrics["critical_jitter"] > 0
    assert [Path(figure).stem for figure in noisy.figures] == ["noise", "prediction"]
    gaps = dict(by_job["tsvm_problem/A", "A"].history["gap"])
    assert gaps[max(gaps)] == pytest.approx(by_job["tsvm_problem/A", "A"].metrics["hold_gap"], abs=1e-12)
    assert by_job["tsvm_load/n4", "4 targets"].metrics["load"] == 0.2
    assert by_job["tsvm_real", "speakers 1 and 2"].metrics["tempotron"] == 0.9
    assert len(records) == 1 + 2 + 2 * len(METHODS) + 3 + 1


def test_an_unknown_figure_is_refused(done, tmp_path, capsys):
    with pytest.raises(SystemExit):
        publish(done, tmp_path, ["spikes"])
    assert "--figures: there is no spikes.svg" in capsys.readouterr().err


def test_the_same_bytes_again(done, tmp_path):
    problem(tmp_path)
    for name in (*TABLES, "A.json"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes(), name
