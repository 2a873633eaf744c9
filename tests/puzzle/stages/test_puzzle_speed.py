"""The stage that measures whole models."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.costs import tables
from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models import loading
from tessera.puzzle.models.space import Space
from tessera.puzzle.serve import speed as serving
from tessera.puzzle.serve import speed_llama_cpp
from tessera.puzzle.stages import speed

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 256,
    "vocab_size": 128,
    "tie_word_embeddings": True,
}
SPACE = Space.model_validate({"attention": {"no_op": {"kind": "no_op"}}, "ffn": {"no_op": {"kind": "no_op"}}})
WORKLOAD = {"batch": 1, "prefill": 8, "decode": 4}
TARGETS = {
    "h100": {"source": "roofline", "hardware": "h100-sxm", "dtype": "bfloat16", "workload": WORKLOAD},
    "cpu": {"source": "measured", "hardware": "cpu", "dtype": "float32", "workload": WORKLOAD, "threads": 1},
}
CHOICES = {"h100": ["no_op+parent"] * 4, "cpu": ["parent+no_op", "parent+parent"] * 2}


@pytest.fixture
def inputs(tmp_path):
    """A parent, a child a target, their choices, and the costs of the roofline for both targets."""
    parent = tmp_path / "parent"
    parent.mkdir()
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**CONFIG)).save_pretrained(parent)
    shape, model = architectures.read(parent), loading.load(parent)
    table = tables.table(shape, SPACE, WORKLOAD, "roofline", hardware="h100-sxm", dtype="bfloat16")
    made = {"parent": parent, "children": [], "costs": [], "choices": [], "metrics": tmp_path / "speed.json"}
    library = tmp_path / "library"  # of no-ops alone, which have no weights
    for layer in range(4):
        files.save_tensors(library / f"layer_{layer}.safetensors", {})
    for target, choice in reversed(CHOICES.items()):  # the order of the files says nothing
        made["children"].append(tmp_path / "children" / target)
        child.save(child.assemble(model, SPACE, [library], choice), parent, made["children"][-1])
        made["costs"].append(tmp_path / f"{target}.parquet")
        # Only the served target's table is right: every time of the other's is 1 ms.
        own = table if target == "cpu" else table.assign(prefill_ms=1.0, decode_ms=1.0, runtime_ms=1.0)
        files.write_parquet(made["costs"][-1], own)
        made["choices"].append(tmp_path / "search" / target / "children.json")
        files.write_json(made["choices"][-1], {"children": {"mip": {"blocks": choice, "status": "optimal"}}})
    return made


def params(targets):
    return speed.Params.model_validate_json(
        json.dumps({"costs": {"targets": targets}, "compute": {"device": "cpu"}, "speed": {"repeats": 2}})
    )


def test_parent_and_children_stand_beside_their_prediction(inputs, monkeypatch):
    sizes = {"parent": 900.0, "h100": 800.0, "cpu": 700.0}
    # Truly measured, by a process for each model, in serve/test_speed.py.
    monkeypatch.setattr(serving, "peak_memory", lambda place, _: {"process_mib": sizes[place.name]})
    speed.main(params(TARGETS), "mip", **inputs)
    ((name, found),) = files.read_json(inputs["metrics"])["served"].items()
    assert name == "cpu" and found["workload"]["decode"] == 4
    assert found["hardware"].endswith("1 threads") and found["software"].startswith("torch")
    assert set(found["models"]) == {"parent", "h100", "cpu"}
    table = files.read_parquet(inputs["costs"][0]).set_index(["subblock", "variant"]).runtime_ms
    parent = 4 * (table["attention", "parent"] + table["ffn", "parent"]) + table["non_block", "-"]
    for name, row in found["models"].items():
        dropped = {"parent": 0, "h100": 4 * table["attention", "parent"], "cpu": 2 * table["ffn", "parent"]}[name]
        assert row["predicted"]["runtime_ms"] == pytest.approx(parent - dropped)
        assert row["predicted_speedup"]["runtime"] == pytest.approx(parent / (parent - dropped))
        ratio = row["predicted_speedup"]["decode"] / row["speedup"]["decode"]
        assert row["speedup_error"]["decode"] == pytest.approx(ratio - 1)
        assert len(row["rounds"]["decode"]) == 2 and row["memory"]["process_mib"] == sizes[name]
    assert found["models"]["parent"]["speedup"]["runtime"] == 1
    assert found["models"]["cpu"]["parameters"] < found["models"]["parent"]["parameters"]


def test_every_measured_target_is_served(inputs, monkeypatch):
    """Each by its own workload and type; here both on the CPU."""
    monkeypatch.setattr(serving, "peak_memory", lambda *_: {"process_mib": 1.0})
    low = TARGETS["cpu"] | {"dtype": "bfloat16", "workload": WORKLOAD | {"batch": 2}}
    speed.main(params({"cpu": TARGETS["cpu"], "h100": low}), "mip", **inputs)
    served = files.read_json(inputs["metrics"])["served"]
    assert {name: (one["dtype"], one["workload"]["batch"]) for name, one in served.items()} == {
        "cpu": ("float32", 1),
        "h100": ("bfloat16", 2),
    }
    assert all("predicted" in row for one in served.values() for row in one["models"].values())


def test_llama_cpp_serves_what_it_can_compute(inputs, monkeypatch):
    """The child without attention has no form there; torch serves all, under a name that no target has."""
    monkeypatch.setattr(serving, "peak_memory", lambda *_: {"process_mib": 1.0})
    monkeypatch.setattr(speed_llama_cpp, "peak_memory", lambda *_: {"process_mib": 2.0})
    target = TARGETS["cpu"] | {"source": "llama.cpp", "dtype": "q8_0"}
    speed.main(params({"h100": TARGETS["h100"], "cpu": target}), "mip", **inputs)
    served = files.read_json(inputs["metrics"])["served"]
    assert set(served) == {"cpu", "torch"}
    found = served["cpu"]
    assert found["software"].startswith("llama.cpp (xllamacpp ") and found["dtype"] == "q8_0"
    assert set(found["models"]) == {"parent", "cpu"} and found["left_out"].keys() == {"h100"}
    assert "no layer of this child has attention" in found["left_out"]["h100"]
    child = found["models"]["cpu"]
    assert child["speedup"]["decode"] > 0 and child["predicted_speedup"]["decode"] > 1
    assert child["memory"] == {"process_mib": 2.0} and len(child["rounds"]["prefill"]) == 2
    assert set(served["torch"]["models"]) == {"parent", "h100", "cpu"} and not served["torch"]["left_out"]
    assert served["torch"]["dtype"] == "float32" and "predicted" not in served["torch"]["models"]["cpu"]
    assert child["parameters"] == served["torch"]["models"]["cpu"]["parameters"]


def test_without_a_measured_target_one_request_is_served_where_models_compute(inputs, monkeypatch):
    monkeypatch.setattr(serving, "peak_memory", lambda *_: {"process_mib": 1.0})
    speed.main(params({"h100": TARGETS["h100"] | {"workload": WORKLOAD | {"batch": 8}}}), "mip", **inputs)
    ((name, found),) = files.read_json(inputs["metrics"])["served"].items()
    assert (name, found["dtype"], found["workload"]["batch"]) == ("cpu", "float32", 1)
    for row in found["models"].values():
        assert row["speedup"]["decode"] > 0 and not {"predicted", "predicted_speedup", "speedup_error"} & set(row)
