"""The tempotron's stages on tiny sizes: files in, files out, run files that hold, the same bytes again."""

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tessera.common import files, run_files, stage
from tessera.tempotron.report import tables as tempotron_tables
from tessera.tempotron.stages import summary

NEURON = {"tau_m": 15.0, "tau_s": 3.75}
MEMBERS = {
    "vowels_train": "a/TRAIN.ts",
    "vowels_test": "a/TEST.ts",
    "receptors_1": "n/1.txt",
    "receptors_2": "n/2.txt",
    "mnist": "m/images.csv.gz",
}
SOLUTIONS = [("bins", 1), ("bins", 10), ("single", 10)]


def call(name: str, params: dict | None, **arguments) -> None:
    """Run a stage as its rule does, in this process."""
    module = __import__(f"tessera.stages.{name}", fromlist=["main"])
    words = [] if params is None else ["--params", json.dumps(params)]
    for key, value in arguments.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{key.replace('_', '-')}", *map(str, values)]
    stage.run(module.main, words)


def series(rng: np.random.Generator, count: int) -> str:
    """A .ts file of two speakers who differ in the mean of both channels."""
    lines = ["@data"]
    for i in range(count):
        one = rng.normal(size=(2, 6)) + (i % 2) * np.array([[2.0], [-2.0]])
        lines.append(":".join(",".join(f"{v:.4f}" for v in channel) for channel in one) + f":{1 + i % 2}")
    return "\n".join(lines)


def wheels(root: Path) -> None:
    """Packages with two speakers, two receptors of just under 2 s, and images of two digits, sorted by digit."""
    rng = np.random.default_rng(0)
    receptors = ["\n".join(f"{t:.0f}" for t in np.sort(rng.uniform(0, 2e6, 200))) for _ in range(2)]
    digit = np.repeat([3, 8], 20)
    images = np.column_stack([rng.integers(0, 100, (40, 6)) + 150 * (digit == 8)[:, None] * [1, 1, 1, 0, 0, 0], digit])
    table = "\n".join(",".join(map(str, row)) for row in images)
    content = {
        "a": {"TRAIN.ts": series(rng, 20), "TEST.ts": series(rng, 10)},
        "n": dict(zip(("1.txt", "2.txt"), receptors, strict=True)),
        "m": {"images.csv.gz": gzip.compress(table.encode())},
    }
    for name, members in content.items():
        with zipfile.ZipFile(root / f"{name}.whl", "w") as wheel:
            for path, text in members.items():
                wheel.writestr(f"{name}/{path}", text)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A directory in which all stages but the last have run, at tiny sizes; runs lie under runs/RULE."""
    root = tmp_path_factory.mktemp("tempotron")
    runs = root / "runs"
    theory = {
        "ks": [1, 2, 10], "points": 64, "planted_ks": [10], "continuous_ks": [10.0], "traces": 50, "dt": 1.0,
    }  # fmt: skip
    call(
        "tempotron_replica", {"neuron": NEURON, "theory": theory, "seed": 1}, capacity=root / "capacity",
        continuous=root / "continuous", planted=root / "planted", run=runs / "tempotron_replica/all.json",
    )  # fmt: skip
    wanted = {"ks": [20.0], "traces": 50, "dt": 0.5, "afferents": 20, "patterns": 20}
    params = {"neuron": NEURON, "maximum": wanted, "seed": 1}
    call("tempotron_maximum", params, k=20.0, quantiles=root / "maximum", run=runs / "tempotron_maximum/k20.0.json")
    findable = {
        "ensemble": "single", "afferents": [10], "ks": [10.0, 20.0], "loads": [1.0, 3.0], "replicates": 2,
        "rate": 0.05, "momentum": 0.9, "max_epochs": 50, "restarts": 0, "init_scale": 0.01, "bootstrap": 10,
    }  # fmt: skip
    params = {"neuron": NEURON, "findable": findable, "seed": 1}
    for k in findable["ks"]:
        run = runs / f"tempotron_findable/k{k}.json"
        call("tempotron_findable", params, k=k, n=10, runs=root / f"findable{k}", run=run)
    existence = {"problems": [{"k": 1, "n": 3, "patterns": [4, 12]}], "runs": 4, "max_nodes": 1000}
    run = runs / "tempotron_existence/k1.json"
    call("tempotron_existence", {"existence": existence, "seed": 1}, k=1, n=3, counts=root / "existence", run=run)
    clusters = {
        "inputs": ["bins", "single"], "ks": [1, 10], "afferents": 15, "loads": [1.0], "tasks": 1, "solutions": 2,
        "rate": 0.01, "momentum": 0.9, "max_epochs": 2000, "chord_points": 5, "walk_steps": 5,
    }  # fmt: skip
    params = {"neuron": NEURON, "clusters": clusters, "seed": 1}
    for inputs, k in SOLUTIONS:
        run = runs / f"tempotron_solutions/{inputs}{k}.json"
        call("tempotron_solutions", params, inputs=inputs, k=k, load=1.0, pairs=root / f"{inputs}{k}", run=run)
    ablation = {
        "afferents": 10, "k": 10.0, "load": 1.0, "replicates": 1, "momenta": [0.0, 0.9], "rates": [1e-3],
        "margins": [0.0, 0.1], "jitter": 1.0, "max_epochs": 20,
    }  # fmt: skip
    params = {"neuron": NEURON, "ablation": ablation, "seed": 1}
    call("tempotron_ablation", params, runs=root / "ablation", run=runs / "tempotron_ablation/all.json")
    brian = {"afferents": 10, "patterns": 3, "k": 3.0, "dt": 0.1, "max_epochs": 20, "devices": ["runtime"]}
    params = {"neuron": NEURON, "brian": brian, "seed": 1}
    call("tempotron_brian", params, trace=root / "trace", run=runs / "tempotron_brian/all.json")
    wheels(root)
    real = {
        "digit_pairs": [[0, 1]], "mnist_pairs": [[3, 8]], "digit_duration": 100.0, "folds": 2,
        "speaker_pairs": [[1, 2]], "levels": 2, "frame": 6.4, "window": 100.0, "receptor_patterns": 20, "rate": 0.01,
        "margin": 0.1, "momentum": 0.9, "max_epochs": 20,
    }  # fmt: skip
    call(
        "tempotron_inputs", {"neuron": NEURON, "real": real, "seed": 1, "members": MEMBERS}, vowels=root / "a.whl",
        recordings=root / "n.whl", mnist=root / "m.whl", accuracies=root / "accuracies", receptors=root / "receptors",
        run=runs / "tempotron_inputs/all.json",
    )  # fmt: skip
    return root


def summarise(done: Path, out: Path, figures: list[str]) -> Path:
    """Run the last stage into out, to draw these figures."""
    tables = tempotron_tables.TABLES
    call(
        "tempotron_summary", None,
        **{name: done / name for name in ("capacity", "continuous", "planted", "maximum", "existence", "ablation",
                                          "trace", "accuracies", "receptors")},
        findable=sorted(done.glob("findable*")), solutions=[done / f"{i}{k}" for i, k in SOLUTIONS],
        runs=sorted(done.glob("runs/*/*.json")), figures=[out / f"{name}.svg" for name in figures],
        tables=[out / f"{name}.csv" for name in tables], results=out / "results.md", metrics=out / "metrics.json",
    )  # fmt: skip
    return out


def metrics(done: Path, rule: str, name: str = "all") -> dict[str, float]:
    return run_files.read(done / f"runs/tempotron_{rule}/{name}.json").metrics


def test_brian_agrees(done: Path) -> None:
    found = metrics(done, "brian")
    assert found["disagree_certain"] == 0 and found["potential_error_runtime"] < 1e-12


def test_theory_is_in_its_run(done: Path) -> None:
    found = metrics(done, "replica")
    assert found["one_step_k_2"] == pytest.approx(2.655, abs=1e-3)
    assert found["replica_symmetric_k_1"] == pytest.approx(2, abs=1e-6)
    assert found["continuous_k_10"] == pytest.approx(3.13, abs=0.6)  # 50 traces


def test_findable_table_states_the_budget(done: Path) -> None:
    table = files.read_parquet(done / "findable10.0")
    assert len(table) == 4 and set(table["max_epochs"]) == {50} and set(table["rate"]) == {0.005}
    assert (table.loc[~table["solved"], "left"] > 0).all() and (table.loc[table["solved"], "left"] == 0).all()


def test_existence_of_a_size_that_is_not_listed(done: Path, capsys) -> None:
    params = {"existence": {"problems": [], "runs": 1, "max_nodes": 1}, "seed": 1}
    with pytest.raises(SystemExit):
        call("tempotron_existence", params, k=2, n=3, counts=done / "no", run=done / "no.json")
    assert "existence.problems has no k = 2, n = 3" in capsys.readouterr().err


def test_the_same_parameters_give_the_same_bytes(done: Path, tmp_path: Path) -> None:
    wanted = {"ks": [20.0], "traces": 50, "dt": 0.5, "afferents": 20, "patterns": 20}
    params = {"neuron": NEURON, "maximum": wanted, "seed": 1}
    call("tempotron_maximum", params, k=20.0, quantiles=tmp_path / "maximum", run=tmp_path / "run.json")
    assert (tmp_path / "maximum").read_bytes() == (done / "maximum").read_bytes()
    assert (tmp_path / "run.json").read_bytes() == (done / "runs/tempotron_maximum/k20.0.json").read_bytes()


def test_real_inputs_are_learnt(done: Path) -> None:
    found = metrics(done, "inputs")
    assert found["digits_0_1_tempotron"] > 0.9 and found["digits_0_1_logistic"] > 0.9
    assert found["mnist_3_8_tempotron"] > found["mnist_3_8_chance"]
    assert found["vowels_1_2_tempotron"] > found["vowels_1_2_chance"]
    assert found["receptor_afferents"] == 38  # 2 recordings of just under 2 s, the last window of each left out


def test_summary(done: Path, tmp_path: Path) -> None:
    first = summarise(done, tmp_path / "first", list(summary.FIGURES))
    for path in summarise(done, tmp_path / "second", ["overlaps"]).iterdir():
        assert path.read_bytes() == (first / path.name).read_bytes(), path.name
    found = files.read_json(first / "metrics.json")
    assert found["theory"]["one_step"]["2"] == pytest.approx(2.655, abs=1e-3)
    assert found["clusters"]["control_connected_pairs"] == 1
    assert found["existence"]["cover_largest_z"] < 5 and found["existence"]["undecided"] == 0
    text = (first / "results.md").read_text()
    assert "| 2 | 2.86 | 2.66 |" in text and "| mnist 3, 8 |" in text
    assert "Straight chords join 100% of the perceptron's pairs" in text
