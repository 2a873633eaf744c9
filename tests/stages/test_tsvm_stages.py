"""The T-SVM's stages on tiny sizes: files in, files out, run files that hold, the same bytes again."""

import json
from pathlib import Path

import pytest

from tessera.common import files, stage, tracking
from tessera.report import tsvm_tables
from tessera.stages import tsvm_summary

NEURON = {"tau_m": 15.0, "tau_s": 3.75, "tau_c": 2.0}
PROBLEMS = {
    "problems": {"A": {"afferents": 40, "targets": 2, "seed": 0}},
    "shown": "A",
    "penalties": [0.1, 10.0],
    "online_steps": 20,
}
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
    return root


def summarise(root: Path, out: Path, figures: list[str] | None = None) -> None:
    names = list(tsvm_summary.FIGURES) if figures is None else figures
    call(
        "tsvm_summary", None, rounds=root / "rounds", trace=root / "trace", support=root / "support",
        soft=root / "soft", steps=root / "steps", load=sorted(root.glob("load*")),
        runs=sorted(root.glob("runs/*/*.json")), figures=[out / f"{name}.svg" for name in names],
        tables=[out / f"{name}.csv" for name in tsvm_tables.TABLES], results=out / "results.md",
        metrics=out / "metrics.json",
    )  # fmt: skip


def test_a_problem_is_certified_and_its_envelope_holds(done):
    run = tracking.read(done / "runs/tsvm_problem/A.json")
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


def test_the_summary_draws_and_tabulates(done, tmp_path):
    summarise(done, tmp_path)
    for name in tsvm_summary.FIGURES:
        assert (tmp_path / f"{name}.svg").stat().st_size > 5000
    metrics = files.read_json(tmp_path / "metrics.json")
    assert metrics["problems"]["A"]["hold_certified"] == 1
    assert "| A | 40 | 2 |" in (tmp_path / "results.md").read_text()


def test_an_unknown_figure_is_refused(done, tmp_path, capsys):
    with pytest.raises(SystemExit):
        summarise(done, tmp_path, ["spikes"])
    assert "--figures: there is no spikes.svg" in capsys.readouterr().err


def test_the_same_bytes_again(done, tmp_path):
    problem(tmp_path)
    for name in ("rounds", "trace", "support", "soft", "steps"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes(), name
