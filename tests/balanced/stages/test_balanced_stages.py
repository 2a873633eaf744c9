"""The stages of the balanced study on the smallest tasks: files out, the same bytes twice, faults named."""

import json

import pytest

from tessera.balanced.stages import feasibility, learning, optima, theory
from tessera.common import files, stage

AFFERENTS = {"f_exc": 0.8, "p_out": 0.1, "cv_ratio": 1.4142, "sd_ratio": 2.0, "cv_exc": 1.0, "sd_exc": 1.0}
SECTIONS = {
    "theory": {"p_out": 0.1, "cv_ratios": [0.7071], "fractions": 4, "loads": [0.1, 0.5, 1.7, 3.0], "sizes": [100]},
    "margins": {
        "afferents": AFFERENTS,
        "norm": 1.0,
        "size": 40,
        "loads": [0.5],
        "sizes": [40, 60],
        "scaling_load": 0.5,
        "seeds": 3,
    },
    "feasibility": {
        "f_exc": 0.8,
        "p_out": 0.1,
        "cv_ratios": {"equal": 1.0},
        "sizes": [20],
        "trials": 4,
        "loads": [0.6, 1.5],
        "fractions": [0.5],
    },
    "learning": {
        "size": 40,
        "load": 0.3,
        "f_exc": 0.8,
        "p_out": 0.5,
        "rate": 0.1,
        "decay": 1e-6,
        "cycles": 50,
        "marks": 5,
        "seeds": 2,
        "noise": {"nominal": {"sigma_in": 0.1, "sigma_out": 0.15}},
    },
    "seed": 0,
}
STAGES = {
    theory: (("theory", "margins"), {"curves": "curves.json"}, []),
    feasibility: (
        ("feasibility", "seed"),
        {"table": "table.csv"},
        ["--set-name", "equal"],
    ),
    optima: (
        ("margins", "seed"),
        {"table": "t.csv", "weights": "w.parquet"},
        ["--inputs", "gaussian"],
    ),
    learning: (("learning", "seed"), {"table": "table.csv"}, []),
}


def call(module, folder, sections=SECTIONS):
    """Run a stage into the folder and return its files' bytes."""
    names, outputs, others = STAGES[module]
    flags = [word for name, file in outputs.items() for word in (f"--{name}", str(folder / file))]
    stage.run(module.main, ["--params", json.dumps({n: sections[n] for n in names}), *others, *flags])
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("module", STAGES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_stage_writes_the_same_bytes_twice(module, tmp_path):
    first, second = call(module, tmp_path / "a"), call(module, tmp_path / "b")
    assert first == second and len(first) == len(STAGES[module][1])


def test_theory_beyond_the_capacity_is_null(tmp_path):
    call(theory, tmp_path)
    limit = files.read_json(tmp_path / "curves.json")["limit"]
    assert limit["kappa_in"][-1] is None and limit["kappa_in"][0] > limit["kappa_in"][1] > 0


def test_load_beyond_the_capacity_is_named(tmp_path, capsys):
    beyond = SECTIONS | {"margins": SECTIONS["margins"] | {"loads": [6.0]}}
    with pytest.raises(SystemExit):
        call(optima, tmp_path, beyond)
    assert "balanced.margins: load 6.0" in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()
