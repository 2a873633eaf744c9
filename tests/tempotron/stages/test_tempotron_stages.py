"""The tempotron's stages on tiny sizes: files in, files out, and the same bytes again."""

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tessera.common import code, files, run_files, stage
from tessera.tempotron.report import REPORT

MEMBERS = {
    "vowels_train": "a/TRAIN.ts",
    "vowels_test": "a/TEST.ts",
    "receptors_1": "n/1.txt",
    "receptors_2": "n/2.txt",
    "mnist": "m/images.csv.gz",
}
SOLUTIONS = [("bins", 1), ("bins", 10), ("single", 10)]
SECTIONS = {
    "neuron": {"tau_m": 15.0, "tau_s": 3.75},
    "theory": {
        "ks": [1, 2, 10],
        "points": 64,
        "planted_ks": [10],
        "continuous_ks": [10.0],
        "traces": 50,
        "dt": 1.0,
    },
    "maximum": {"ks": [20.0], "traces": 50, "dt": 0.5, "afferents": 20, "patterns": 20},
    "findable": {
        "ensemble": "single",
        "afferents": [10],
        "ks": [10.0, 20.0],
        "loads": [1.0, 3.0],
        "replicates": 2,
        "rate": 0.05,
        "momentum": 0.9,
        "max_epochs": 50,
        "restarts": 0,
        "init_scale": 0.01,
        "bootstrap": 10,
    },
    "existence": {"problems": [{"k": 1, "n": 3, "patterns": [4, 12]}], "runs": 4, "max_nodes": 1000},
    "clusters": {
        "inputs": ["bins", "single"],
        "ks": [1, 10],
        "afferents": 15,
        "loads": [1.0],
        "tasks": 1,
        "solutions": 2,
        "rate": 0.01,
        "momentum": 0.9,
        "max_epochs": 2000,
        "chord_points": 5,
        "walk_steps": 5,
    },
    "ablation": {
        "afferents": 10,
        "k": 10.0,
        "load": 1.0,
        "replicates": 1,
        "momenta": [0.0, 0.9],
        "rates": [1e-3],
        "margins": [0.0, 0.1],
        "jitter": 1.0,
        "max_epochs": 20,
    },
    "brian": {"afferents": 10, "patterns": 3, "k": 3.0, "dt": 0.1, "max_epochs": 20, "devices": ["runtime"]},
    "real": {
        "digit_pairs": [[0, 1]],
        "mnist_pairs": [[3, 8]],
        "digit_duration": 100.0,
        "folds": 2,
        "speaker_pairs": [[1, 2]],
        "levels": 2,
        "frame": 6.4,
        "window": 100.0,
        "receptor_patterns": 20,
        "rate": 0.01,
        "margin": 0.1,
        "momentum": 0.9,
        "max_epochs": 20,
    },
}


def call(name: str, params: dict, **arguments) -> None:
    """Run a stage as its rule does, in this process."""
    module = __import__(code.stage(f"tempotron_{name}"), fromlist=["main"])
    words = ["--params", json.dumps(params)]
    for key, value in arguments.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{key.replace('_', '-')}", *map(str, values)]
    stage.run(module.main, words)


def series(rng: np.random.Generator, count: int) -> str:
    """A .ts file of two speakers who differ in the mean of both channels."""
    lines = ["@data"]
    for i in range(count):
        channels = rng.normal(size=(2, 6)) + (i % 2) * np.array([[2.0], [-2.0]])
        lines.append(":".join(",".join(f"{v:.4f}" for v in channel) for channel in channels) + f":{1 + i % 2}")
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


def params(*names: str, **others) -> dict:
    """Sections of the stages' parameters, and the seed."""
    return {name: SECTIONS[name] for name in names} | {"seed": 1} | others


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A directory in which all stages but the last have run, at tiny sizes."""
    root = tmp_path_factory.mktemp("tempotron")
    replica = {name: root / name for name in ("capacity", "continuous", "planted")}
    call("replica", params("neuron", "theory"), **replica)
    outputs = {"quantiles": root / "maximum", "distances": root / "maximum.json"}
    call("maximum", params("neuron", "maximum"), k=20.0, **outputs)
    for k in SECTIONS["findable"]["ks"]:
        outputs = {"trials": root / f"findable{k}", "crossing": root / f"findable{k}.json"}
        call("findable", params("neuron", "findable"), k=k, n=10, **outputs)
    call("existence", params("existence"), k=1, n=3, counts=root / "existence")
    for inputs, k in SOLUTIONS:
        outputs = {"pairs": root / f"{inputs}{k}", "summary": root / f"{inputs}{k}.json"}
        call("solutions", params("neuron", "clusters"), inputs=inputs, k=k, load=1.0, **outputs)
    call("ablation", params("neuron", "ablation"), trials=root / "ablation")
    call("brian", params("neuron", "brian"), trace=root / "trace", checks=root / "brian.json")
    wheels(root)
    call(
        "real",
        params("neuron", "real", members=MEMBERS),
        vowels=root / "a.whl",
        recordings=root / "n.whl",
        mnist=root / "m.whl",
        accuracies=root / "accuracies",
        receptors=root / "receptors",
        statistics=root / "receptors.json",
    )
    return root


def report(done: Path, out: Path, figures: list[str]) -> Path:
    """Run the report's stage into out, to draw these figures."""
    names = ("capacity", "continuous", "planted", "existence", "ablation", "trace", "accuracies", "receptors")
    findable = [done / f"findable{k}" for k in SECTIONS["findable"]["ks"]]
    solutions = [done / f"{inputs}{k}" for inputs, k in SOLUTIONS]
    call(
        "report",
        {"tempotron": SECTIONS, "seed": 1},
        **{name: done / name for name in names},
        maximum=done / "maximum",
        distances=done / "maximum.json",
        findable=findable,
        crossings=[f"{path}.json" for path in findable],
        solutions=solutions,
        summaries=[f"{path}.json" for path in solutions],
        checks=done / "brian.json",
        statistics=done / "receptors.json",
        texts=out / "results.md",
        tables=[out / f"{name}.csv" for name in REPORT.tables],
        figures=[out / f"{name}.svg" for name in figures],
        metrics=out / "metrics.json",
        runs=out / "runs.jsonl",
    )
    return out


def test_brian_agrees(done: Path) -> None:
    checks = files.read_json(done / "brian.json")
    assert checks["disagree_certain"] == 0 and checks["potential_error_runtime"] < 1e-12


def test_findable_table_states_the_budget(done: Path) -> None:
    table = files.read_parquet(done / "findable10.0")
    assert len(table) == 4 and set(table["max_epochs"]) == {50} and set(table["rate"]) == {0.005}
    assert (table.loc[~table["solved"], "left"] > 0).all() and (table.loc[table["solved"], "left"] == 0).all()


def test_existence_of_a_size_that_is_not_listed(done: Path, capsys) -> None:
    empty = {"existence": {"problems": [], "runs": 1, "max_nodes": 1}, "seed": 1}
    with pytest.raises(SystemExit):
        call("existence", empty, k=2, n=3, counts=done / "no")
    assert "existence.problems has no k = 2, n = 3" in capsys.readouterr().err


def test_the_same_parameters_give_the_same_bytes(done: Path, tmp_path: Path) -> None:
    outputs = {"quantiles": tmp_path / "maximum", "distances": tmp_path / "maximum.json"}
    call("maximum", params("neuron", "maximum"), k=20.0, **outputs)
    for path in outputs.values():
        assert path.read_bytes() == (done / path.name).read_bytes()


def test_walks_start_at_their_solution_and_end_at_the_last_step(done: Path) -> None:
    summary = files.read_json(done / "bins1.json")
    steps, overlap = zip(*summary["walk"], strict=True)
    assert steps[0] == 0 and steps[-1] == SECTIONS["clusters"]["walk_steps"]
    assert overlap[0] == pytest.approx(1) and overlap[-1] < 1
    assert (summary["tasks"], summary["solutions"], summary["clusters"]) == (1, 2, 1)


def test_report(done: Path, tmp_path: Path) -> None:
    first = report(done, tmp_path / "first", list(REPORT.figures))
    for path in report(done, tmp_path / "second", ["overlaps"]).iterdir():
        if path.name != "runs.jsonl":  # its paths of figures differ
            assert path.read_bytes() == (first / path.name).read_bytes(), path.name
    numbers = files.read_json(first / "metrics.json")
    assert numbers["theory"]["one_step"]["2"] == pytest.approx(2.655, abs=1e-3)
    assert numbers["theory"]["replica_symmetric"]["1"] == pytest.approx(2, abs=1e-6)
    assert numbers["theory"]["continuous"]["10"] == pytest.approx(3.13, abs=0.6)  # 50 traces
    assert numbers["clusters"]["control_connected_pairs"] == 1
    assert numbers["existence"]["cover_largest_z"] < 5 and numbers["existence"]["undecided"] == 0
    real = numbers["real"]
    assert real["digits_0_1_tempotron"] > 0.9 and real["digits_0_1_logistic"] > 0.9
    assert real["mnist_3_8_tempotron"] > real["mnist_3_8_chance"]
    assert real["vowels_1_2_tempotron"] > real["vowels_1_2_chance"]
    assert real["receptor_afferents"] == 38  # 2 recordings of just under 2 s, the last window of each left out
    text = (first / "results.md").read_text()
    assert "| 2 | 2.86 | 2.66 |" in text and "| mnist 3, 8 |" in text
    assert "Straight chords join 100% of the perceptron's pairs" in text


def test_runs_name_their_jobs(done: Path, tmp_path: Path) -> None:
    runs = {record.job: record for record in run_files.read(report(done, tmp_path, ["walk"]) / "runs.jsonl")}
    assert set(runs) == {
        *(f"tempotron_{rule}" for rule in ("replica", "ablation", "brian", "real")),
        "tempotron_maximum/k20.0",
        "tempotron_findable/k10.0_n10",
        "tempotron_findable/k20.0_n10",
        "tempotron_existence/k1_n3",
        *(f"tempotron_solutions/{inputs}_k{k}_load1.0" for inputs, k in SOLUTIONS),
    }
    walk = runs["tempotron_solutions/bins_k1_load1.0"]
    assert walk.figures == [str(tmp_path / "walk.svg")]
    assert walk.metrics["walk_overlap"] == walk.history["walk_overlap_with_start"][-1][1]
    assert runs["tempotron_existence/k1_n3"].history.keys() == {"solvable", "cover"}
