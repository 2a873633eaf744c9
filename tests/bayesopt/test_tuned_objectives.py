"""Stages of other studies that are tuned: their objectives respond as they should."""

import json
from pathlib import Path

import pytest

from tessera.common import files
from tessera.puzzle.stages import distillation
from tessera.tempotron.stages import rate as tempotron_rate
from tessera.tsvm.stages import jitter as tsvm_jitter


def test_the_tempotron_s_objective_prefers_momentum(tmp_path: Path) -> None:
    rate = {"afferents": 40, "k": 10.0, "load": 1.75, "replicates": 3, "max_epochs": 400, "learning_rate": 1e-3}
    outcome = {}
    for momentum in (0.0, 0.95):
        values = {"neuron": {"tau_m": 15.0, "tau_s": 3.75}, "rate": rate | {"decay": 1 - momentum}, "seed": 0}
        tempotron_rate.main(tempotron_rate.Params.model_validate_json(json.dumps(values)), tmp_path / "metrics.json")
        outcome[momentum] = files.read_json(tmp_path / "metrics.json")
    assert outcome[0.95]["log10_epochs"] < outcome[0.0]["log10_epochs"]
    assert outcome[0.95]["solved"] >= outcome[0.0]["solved"]


def jitter(directory: Path, **changes: object) -> dict:
    task = {"afferents": 30, "targets": 2, "duration": 100.0, "tasks": 1, "copies": 3, "jitter": 1.0, "window": 2.0}
    svm = {"tau_c": 2.0, "hold": 2.0, "sigma": 1.0}
    values = {"svm": svm, "task": task | changes, "seed": 0}
    tsvm_jitter.main(tsvm_jitter.Params.model_validate_json(json.dumps(values)), directory / "metrics.json")
    return files.read_json(directory / "metrics.json")


def test_the_support_vector_machine_s_objective_grows_with_jitter(tmp_path: Path) -> None:
    little, much = jitter(tmp_path, jitter=0.01), jitter(tmp_path, jitter=20.0)
    assert little["miss"] == little["miss_learned"] == 0.0
    assert little["solved"] == 1.0
    assert 0 < much["miss"] <= 1
    assert much["miss_learned"] == 0.0


def distilled(parent: Path, tokens: Path, directory: Path, rate: float, **changes: object) -> dict:
    optimiser = {"tokens": 120, "batch_windows": 2, "learning_rate": 1e-3}
    values = {
        "space": {"attention": {"kv1": {"kind": "gqa", "kv_heads": 1}},
                  "ffn": {"ffn50": {"kind": "gated", "width": 0.5}}},
        "library": {"jobs": 1, "initialisation": "least_squares", "selection": "reconstruction", "loss": "per_token",
                    "ridge": 1e-4, "valid_windows": 4, "distillation": optimiser},
        "heal": {"cosine": 1.0, "kl": 1.0, "lm": 0.0, "train": "blocks", "checkpoint_steps": 10,
                 "equal": optimiser | {"tokens": 600, "learning_rate": rate}, "full": optimiser},
        "child": {"layers": [0, 2], "block": "kv1+ffn50", "window": 20, "calibration_windows": 12, "heal_windows": 30,
                  "valid_windows": 6} | changes,
        "compute": {"device": "cpu", "dtype": "float32"},
        "seed": 3,
    }  # fmt: skip
    params = distillation.Params.model_validate_json(json.dumps(values))
    distillation.main(params, parent, tokens, directory / "library", directory / "metrics.json")
    return files.read_json(directory / "metrics.json")


def test_puzzle_s_objective_is_lowered_by_healing(parent, tokens, tmp_path: Path) -> None:
    outcome = distilled(parent(), tokens, tmp_path, 1e-3)
    assert 0 < outcome["kl_div"] < outcome["kl_div_before"]
    assert len(outcome["training_kl_div"]) == 15
    again = distilled(parent(), tokens, tmp_path / "again", 1e-3)
    assert again == outcome
    still = distilled(parent(), tokens, tmp_path / "still", 1e-12)
    assert still["kl_div"] == pytest.approx(still["kl_div_before"], rel=1e-3)
    assert still["kl_div_before"] == outcome["kl_div_before"]


def test_puzzle_s_objective_refuses_layers_that_are_not_there(parent, tokens, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"child\.layers = \[7\]: the parent has the layers 0 to 2"):
        distilled(parent(), tokens, tmp_path, 1e-3, layers=[0, 7])
    with pytest.raises(ValueError, match="layers = "):
        distilled(parent(), tokens, tmp_path, 1e-3, layers=[1, 1])
