"""The T-SVM's stages on tiny sizes: files in, files out, run files that hold, the same bytes again."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tessera.common import files, run_files, stage
from tessera.tsvm.report import tables
from tessera.tsvm.stages import summary

NEURON = {"tau_m": 15.0, "tau_s": 3.75, "tau_c": 2.0}
PROBLEMS = {
    "problems": {"A": {"afferents": 40, "targets": 2, "seed": 0}},
    "shown": "A",
    "penalties": [0.1, 10.0],
    "online_steps": 20,
}
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


def call(name: str, params: dict | None, **arguments) -> None:
    """Run a stage as its rule does, in this process."""
    module = __import__(f"tessera.stages.{name}", fromlist=["main"])
    words = [] if params is None else ["--params", json.dumps(params)]
    for key, value in arguments.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{key.replace('_', '-')}", *map(str, values)]
    stage.run(module.main, words)


def problem(root: Path) -> None:
    names = ("rounds", "trace", "support", "soft", "steps")
    call(
        "tsvm_problem", {"neuron": NEURON, "problems": PROBLEMS}, problem="A",
        run=root / "runs/tsvm_problem/A.json", **{name: root / name for name in names},
    )  # fmt: skip


def series(rng: np.random.Generator, count: int) -> str:
    """A .ts file of two speakers who differ in the mean of both channels, in series of unequal length."""
    lines = ["@data"]
    for i in range(count):
        one = rng.normal(size=(2, 5 + i % 3)) + (i % 2) * np.array([[2.0], [-2.0]])
        lines.append(":".join(",".join(f"{v:.4f}" for v in channel) for channel in one) + f":{1 + i % 2}")
    return "\n".join(lines)


def speech(root: Path, task: str = "vowels_1_2") -> None:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(root / "a.whl", "w") as wheel:
        for name, count in (("TRAIN.ts", 24), ("TEST.ts", 12)):
            wheel.writestr(f"a/{name}", series(rng, count))
    beside = pd.DataFrame([{"task": task, "tempotron": 0.9, "logistic": 0.8, "chance": 0.5}])
    files.write_parquet(root / "accuracies", beside)
    params = {"neuron": NEURON, "real": REAL, "seed": 1, "speaker_pairs": [[1, 2]], "levels": 3, "frame": 6.4}
    call(
        "tsvm_speech", params | {"members": MEMBERS}, vowels=root / "a.whl", tempotron=root / "accuracies",
        accuracies=root / "speech", runs=[root / "runs/tsvm_speech/vowels_1_2.json"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A directory in which all stages but the last have run, at tiny sizes; runs lie under runs/RULE."""
    root = tmp_path_factory.mktemp("tsvm")
    problem(root)
    for targets in LOAD["targets"]:
        call(
            "tsvm_load", {"neuron": NEURON, "load": LOAD, "seed": 1}, targets=targets, problems=root / f"load{targets}",
            run=root / f"runs/tsvm_load/n{targets}.json",
        )  # fmt: skip
    for index in range(NOISE["problems"]):
        noise(root, index)
    call(
        "tsvm_sweep", {"neuron": NEURON, "noise": NOISE, "sweep": SWEEP, "seed": 1}, margins=root / "sweep",
        run=root / "runs/tsvm_sweep/all.json",
    )  # fmt: skip
    call(
        "tsvm_brian", {"neuron": NEURON, "problems": PROBLEMS, "brian": BRIAN, "seed": 1}, delays=root / "brian",
        run=root / "runs/tsvm_brian/all.json",
    )  # fmt: skip
    call(
        "tsvm_xor", {"neuron": NEURON, "kernels": KERNELS, "seed": 1}, margins=root / "kernels", noise=root / "xor",
        run=root / "runs/tsvm_xor/all.json",
    )  # fmt: skip
    speech(root)
    return root


def noise(root: Path, index: int) -> None:
    call(
        "tsvm_noise", {"neuron": NEURON, "noise": NOISE, "seed": 1}, problem=index, curves=root / f"curves{index}",
        critical=root / f"critical{index}",
        runs=[root / f"runs/tsvm_noise/p{index}_{method}.json" for method in METHODS],
    )  # fmt: skip


def summarise(root: Path, out: Path, figures: list[str] | None = None) -> None:
    names = list(summary.FIGURES) if figures is None else figures
    call(
        "tsvm_summary", {"noise": NOISE, "seed": 1}, rounds=root / "rounds", trace=root / "trace",
        support=root / "support",
        soft=root / "soft", steps=root / "steps", load=sorted(root.glob("load*")),
        curves=sorted(root.glob("curves*")), critical=sorted(root.glob("critical*")),
        **{name: root / name for name in ("sweep", "kernels", "xor", "speech")},
        runs=sorted(root.glob("runs/*/*.json")), figures=[out / f"{name}.svg" for name in names],
        tables=[out / f"{name}.csv" for name in tables.TABLES], results=out / "results.md",
        summary=out / "summary.md",
        metrics=out / "metrics.json",
    )  # fmt: skip


def test_a_problem_is_certified_and_its_envelope_holds(done):
    run = run_files.read(done / "runs/tsvm_problem/A.json")
    assert run.metrics["hold_certified"] == 1 and run.metrics["free_f1"] == 1
    assert run.metrics["hold_up"] <= run.metrics["one_sided_up"] * (1 + 1e-6)
    assert run.metrics["online_margin"] <= run.metrics["hold_up"]
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
    assert run_files.read(done / "runs/tsvm_sweep/all.json").metrics["rises_with_hold"] == 0


def test_brian_makes_the_same_spikes(done):
    metrics = run_files.read(done / "runs/tsvm_brian/all.json").metrics
    assert metrics["missed_0.1"] == metrics["extra_0.1"] == 0
    assert 0 <= metrics["delay_low_0.1"] <= metrics["delay_high_0.1"] < 1 and metrics["noise_same"] == 1


def test_the_exclusive_or_is_impossible_for_linear_kernels_and_right_without_noise_for_others(done):
    table = files.read_parquet(done / "kernels").set_index("kernel")
    assert (table.loc[["linear", "separate branches"], "status"] == "infeasible").all()
    noisy = files.read_parquet(done / "xor")
    assert (noisy[noisy["level"] == 0]["right"] == 1).all() and len(noisy["kernel"].unique()) == 7
    assert noisy[noisy["level"] > 0]["right"].min() < 1


def test_speakers_are_told_apart_on_time(done):
    (row,) = files.read_parquet(done / "speech").to_dict("records")
    assert row["timed"] > 0.6 and row["binary"] > 0.6 and row["svm"] > 0.6 and row["tempotron"] == 0.9
    assert 0 <= row["on_time"] <= 1 and row["n_firing"] == 6


def test_pairs_that_the_tempotron_has_not_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        speech(tmp_path, "vowels_3_4")
    assert "holds no task vowels_1_2" in capsys.readouterr().err


def test_the_summary_draws_and_tabulates(done, tmp_path):
    summarise(done, tmp_path)
    for name in summary.FIGURES:
        assert (tmp_path / f"{name}.svg").stat().st_size > 5000
    metrics = files.read_json(tmp_path / "metrics.json")
    assert metrics["problems"]["A"]["hold_certified"] == 1
    assert "| A | 40 | 2 |" in (tmp_path / "results.md").read_text()
    assert metrics["noise"]["jitter"]["tsvm"]["ratio"]["value"] == 1
    assert "proved impossible for linear" in (tmp_path / "summary.md").read_text()


def test_an_unknown_figure_is_refused(done, tmp_path, capsys):
    with pytest.raises(SystemExit):
        summarise(done, tmp_path, ["spikes"])
    assert "--figures: there is no spikes.svg" in capsys.readouterr().err


def test_the_same_bytes_again(done, tmp_path):
    problem(tmp_path)
    for name in ("rounds", "trace", "support", "soft", "steps"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes(), name
