"""The tempotron's stages on tiny sizes: files in, files out, run files that hold, the same bytes again."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tessera.common import files, stage, tracking

NEURON = {"tau_m": 15.0, "tau_s": 3.75}
MEMBERS = {"vowels_train": "a/TRAIN.ts", "vowels_test": "a/TEST.ts", "receptors_1": "n/1.txt", "receptors_2": "n/2.txt"}


def call(name: str, params: dict | None, **arguments) -> None:
    """Run a stage as its rule does, in this process."""
    module = __import__(f"tessera.stages.{name}", fromlist=["main"])
    words = [] if params is None else ["--params", json.dumps(params)]
    for key, value in arguments.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{key.replace('_', '-')}", *map(str, values)]
    stage.run(module.main, words)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A directory in which the stages that others read have run."""
    root = tmp_path_factory.mktemp("tempotron")
    theory = {"ks": [1, 2], "points": 64, "planted_ks": [10]}
    call("tempotron_replica", {"theory": theory, "seed": 1}, capacity=root / "capacity", planted=root / "planted")
    findable = {
        "ensemble": "single", "afferents": [10], "ks": [10.0], "loads": [1.0, 3.0], "replicates": 2, "rate": 0.05,
        "momentum": 0.9, "max_epochs": 50, "restarts": 0, "init_scale": 0.01, "bootstrap": 10,
    }  # fmt: skip
    params = {"neuron": NEURON, "findable": findable, "seed": 1}
    call("tempotron_findable", params, k=10.0, n=10, runs=root / "runs", run=root / "findable.json")
    problems = [{"k": 1, "n": 3, "patterns": [4, 12]}]
    existence = {"problems": problems, "runs": 4, "time_limit": 5.0}
    call(
        "tempotron_existence",
        {"existence": existence, "seed": 1},
        k=1,
        n=3,
        counts=root / "counts",
        run=root / "e.json",
    )
    ablation = {
        "afferents": 10, "k": 10.0, "load": 1.0, "replicates": 1, "momenta": [0.0, 0.9], "rates": [1e-3],
        "margins": [0.0, 0.1], "jitter": 1.0, "max_epochs": 20,
    }  # fmt: skip
    params = {"neuron": NEURON, "ablation": ablation, "seed": 1}
    call("tempotron_ablation", params, runs=root / "ablation", run=root / "ablation.json")
    brian = {"afferents": 10, "patterns": 3, "k": 3.0, "dt": 0.1, "max_epochs": 20, "devices": ["runtime"]}
    params = {"neuron": NEURON, "brian": brian, "seed": 1}
    call("tempotron_brian", params, trace=root / "trace", run=root / "brian.json")
    return root


def clusters_params() -> dict:
    return {
        "inputs": ["bins", "single"], "ks": [1, 10], "afferents": 15, "loads": [1.0], "tasks": 1, "solutions": 2,
        "rate": 0.01, "momentum": 0.9, "max_epochs": 2000, "chord_points": 5, "walk_steps": 5,
    }  # fmt: skip


def test_brian_agrees(done: Path) -> None:
    metrics = tracking.read(done / "brian.json").metrics
    assert metrics["disagree_certain"] == 0 and metrics["potential_error_runtime"] < 1e-12


def test_findable_table_states_the_budget(done: Path) -> None:
    table = files.read_parquet(done / "runs")
    assert len(table) == 4 and set(table["max_epochs"]) == {50} and set(table["rate"]) == {0.005}
    assert (table.loc[~table["solved"], "left"] > 0).all() and (table.loc[table["solved"], "left"] == 0).all()


def test_existence_of_a_size_that_is_not_listed(done: Path, capsys) -> None:
    params = {"existence": {"problems": [], "runs": 1, "time_limit": 1.0}, "seed": 1}
    with pytest.raises(SystemExit):
        call("tempotron_existence", params, k=2, n=3, counts=done / "no", run=done / "no.json")
    assert "existence.problems has no k = 2, n = 3" in capsys.readouterr().err


def test_maximum_and_theory_report(done: Path) -> None:
    wanted = {"ks": [20.0], "traces": 50, "dt": 0.5, "afferents": 20, "patterns": 20}
    params = {"neuron": NEURON, "maximum": wanted, "seed": 1}
    for name in ("q1", "q2"):
        call("tempotron_maximum", params, k=20.0, quantiles=done / name, run=done / f"{name}.json")
    assert (done / "q1").read_bytes() == (done / "q2").read_bytes()
    assert (done / "q1.json").read_bytes() == (done / "q2.json").read_bytes()
    for name in ("one", "two"):
        call(
            "tempotron_theory_report", None, capacity=done / "capacity", planted=done / "planted",
            quantiles=[done / "q1"], law=done / f"{name}.svg", overlap=done / "overlap.svg", table=done / "t.csv",
            run=done / "theory.json",
        )  # fmt: skip
    assert (done / "one.svg").read_bytes() == (done / "two.svg").read_bytes()
    assert tracking.read(done / "theory.json").metrics["one_step_k_2"] == pytest.approx(2.655, abs=1e-3)


def test_capacity_report(done: Path) -> None:
    call(
        "tempotron_capacity_report", None, capacity=done / "capacity", findable=[done / "findable.json"],
        findable_runs=[done / "runs"], existence=[done / "counts"], ablation=done / "ablation", trace=done / "trace",
        capacity_figure=done / "c.svg", existence_figure=done / "e.svg", ablation_figure=done / "a.svg",
        trace_figure=done / "v.svg", table=done / "findable.csv", run=done / "capacity.json",
    )  # fmt: skip
    record = tracking.read(done / "capacity.json")
    assert record.metrics["cover_largest_z"] < 5 and record.metrics["undecided"] == 0
    assert all(Path(path).stat().st_size > 1000 for path in record.figures)


def test_clusters(done: Path) -> None:
    jobs = [("bins", 1), ("bins", 10), ("single", 10)]
    params = {"neuron": NEURON, "clusters": clusters_params(), "seed": 1}
    for inputs, k in jobs:
        call(
            "tempotron_solutions", params, inputs=inputs, k=k, load=1.0, pairs=done / f"{inputs}{k}",
            run=done / f"{inputs}{k}.json",
        )  # fmt: skip
    call(
        "tempotron_clusters_report", None, pairs=[done / f"{i}{k}" for i, k in jobs],
        runs=[done / f"{i}{k}.json" for i, k in jobs], overlaps=done / "o.svg", walk=done / "w.svg",
        table=done / "clusters.csv", run=done / "clusters.json",
    )  # fmt: skip
    assert tracking.read(done / "clusters.json").metrics["control_connected_pairs"] == 1


def test_real_inputs(done: Path) -> None:
    rng = np.random.default_rng(0)

    def series(count: int) -> str:
        lines = ["@data"]
        for i in range(count):
            one = rng.normal(size=(2, 6)) + (i % 2) * np.array([[2.0], [-2.0]])
            lines.append(":".join(",".join(f"{v:.4f}" for v in channel) for channel in one) + f":{1 + i % 2}")
        return "\n".join(lines)

    def receptor() -> str:
        return "\n".join(f"{t:.0f}" for t in np.sort(rng.uniform(0, 2e6, 200)))

    wheels = {
        "a": {"TRAIN.ts": series(20), "TEST.ts": series(10)},
        "n": {"1.txt": receptor(), "2.txt": receptor()},
    }
    for name, content in wheels.items():
        with zipfile.ZipFile(done / f"{name}.whl", "w") as wheel:
            for path, text in content.items():
                wheel.writestr(f"{name}/{path}", text)
    real = {
        "digit_pairs": [[0, 1]], "digit_duration": 100.0, "folds": 2, "speaker_pairs": [[1, 2]], "levels": 2,
        "frame": 6.4, "window": 100.0, "receptor_patterns": 20, "rate": 0.01, "margin": 0.1, "momentum": 0.9,
        "max_epochs": 20,
    }  # fmt: skip
    call(
        "tempotron_inputs", {"neuron": NEURON, "real": real, "seed": 1, "members": MEMBERS}, vowels=done / "a.whl",
        receptors=done / "n.whl", accuracies=done / "accuracies", quantiles=done / "law", run=done / "inputs.json",
    )  # fmt: skip
    call(
        "tempotron_real_report", None, accuracies=done / "accuracies", quantiles=done / "law",
        inputs=done / "inputs.json", real=done / "real.svg", table=done / "real.csv", run=done / "real.json",
    )  # fmt: skip
    metrics = tracking.read(done / "real.json").metrics
    assert metrics["digits_0_1_tempotron"] > 0.9 and metrics["digits_0_1_logistic"] > 0.9
    assert metrics["vowels_1_2_tempotron"] > metrics["vowels_1_2_chance"]
    assert metrics["receptor_afferents"] == 38  # 2 recordings of just under 2 s, the last window of each left out
