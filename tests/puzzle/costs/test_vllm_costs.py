"""Costs in vLLM: by a stand-in for its environment that counts weights in place of timing them, and by vLLM itself."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from shapes import SPACE, tiny

from tessera.common import files
from tessera.puzzle.costs import measured, stacks, tables, vllm
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.models import architecture, loading
from tessera.puzzle.serve import speed_vllm

SHAPE = architecture.from_config(tiny())
ROOT = Path(__file__).parents[3]
TARGET = {
    "source": "vllm",
    "hardware": "cpu",
    "dtype": "float32",
    "workload": {"batch": 2, "prefill": 6, "decode": 4},
    "threads": 1,
    "repeats": 3,
}
#: In the place of tessera_vllm.timing: seconds are thousands of weights, and 5 besides; a step takes a tenth.
WORKER = """
import json, sys
from pathlib import Path
from safetensors.numpy import load_file
asked = json.loads(Path(sys.argv[1]).read_text())
assert (asked["batch"], asked["prefill"], asked["steps"], asked["before"]) == (2, 6, 4, 6), asked
if asked["dtype"] == "float16":
    sys.exit("RuntimeError: no kernels of float16")
models = []
for model in asked["models"]:
    config = json.loads((Path(model) / "config.json").read_text())
    assert config["num_hidden_layers"] == len(config["puzzle_blocks"])
    assert config["architectures"] == ["ChildLlamaForCausalLM"]
    seconds = sum(value.size for value in load_file(Path(model) / "model.safetensors").values()) / 1e3 + 5
    models.append({"prefill": [seconds] * asked["rounds"], "decode": [seconds / 10] * asked["rounds"]})
    print("INFO of vLLM's own")
    print(model, flush=True)
answer = {"version": "0", "models": models, "idle_mib": 100, "peak_mib": 150}
Path(sys.argv[2]).write_text(json.dumps(answer))
"""


@pytest.fixture(autouse=True)
def _small_cache(monkeypatch):
    monkeypatch.setattr(measured, "cache_bytes", lambda device: 20_000)


@pytest.fixture
def counted(tmp_path, monkeypatch):
    (tmp_path / "tessera_vllm").mkdir()
    (tmp_path / "tessera_vllm/__init__.py").touch()
    (tmp_path / "tessera_vllm/timing.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return CostTarget.model_validate(TARGET | {"python": sys.executable})


def test_costs_are_those_of_the_weights(counted):
    table = tables.of_target(SHAPE, SPACE, counted).set_index(["subblock", "variant"])
    assert (table.software == "vLLM 0").all() and (table.source == "vllm").all()
    for row in table.itertuples():
        # What is counted is linear in the weights, so that marginals and differences are exact.
        outside = 5 if row.Index[0] == "non_block" else 0
        assert row.prefill_ms == pytest.approx(1e3 * (row.parameters / 1e3 + outside), rel=1e-6, abs=1e-6), row.Index
        assert row.decode_ms == pytest.approx(4 * row.prefill_ms / 10, rel=1e-6, abs=1e-6)


def test_stacks_are_children_that_transformers_reads(tmp_path):
    pair = (SPACE.attentions()["linear"], SPACE.ffns()["no_op"])
    vllm.write(SHAPE, stacks.stack(SHAPE, *pair, 3, 16), tmp_path / "stack", "bfloat16")
    model = loading.load(tmp_path / "stack")
    assert len(model.layers) == 4 and model.config.vocab_size == 16
    assert files.read_json(tmp_path / "stack/config.json")["puzzle_blocks"][3]["attention"]["kind"] == "linear"


def test_failures_are_told(counted, tmp_path):
    with pytest.raises(RuntimeError, match=r"tessera_vllm\.timing failed: RuntimeError: no kernels of float16"):
        tables.of_target(SHAPE, SPACE, counted.model_copy(update={"dtype": "float16"}))
    with pytest.raises(RuntimeError, match="expected an interpreter with vLLM"):
        tables.of_target(SHAPE, SPACE, counted.model_copy(update={"python": str(tmp_path / "none")}))
    with pytest.raises(ValidationError, match="python is for source vllm, not llama"):
        one = TARGET["workload"] | {"batch": 1}
        CostTarget.model_validate(
            TARGET | {"source": "llama.cpp", "dtype": "q8_0", "workload": one, "python": "python"}
        )


def test_whole_models_take_turns_forth_and_back(counted, parent, tmp_path):
    pair = (SPACE.attentions()["linear"], SPACE.ffns()["no_op"])
    for name, n in (("parent", 4), ("child", 2)):
        vllm.write(SHAPE, stacks.stack(SHAPE, *pair, n, 16), tmp_path / name, "float32")
    places = {name: tmp_path / name for name in ("parent", "child")}
    times, memory, parameters = speed_vllm.times(places, counted, 3, "speed")
    assert len(times["parent"].prefill) == 6 and memory["child"] == {"process_mib": 150, "model_mib": 50}
    for name in places:
        assert times[name].prefill[0] == pytest.approx(1e3 * (parameters[name] / 1e3 + 5))
        assert times[name].decode[0] == pytest.approx(4 * times[name].prefill[0] / 10)


@pytest.mark.serve
@pytest.mark.timeout(1800)
def test_vllm_itself_times_every_variant():
    """With sizes that vLLM has kernels for on a CPU; a linear map takes less than attention."""
    shape = architecture.from_config(
        tiny() | {"hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 512}
    )
    target = CostTarget.model_validate(TARGET | {"python": str(ROOT / "build/vllm/bin/python")})
    table = tables.of_target(shape, SPACE, target).set_index(["subblock", "variant"])
    assert table.software.iloc[0].startswith("vLLM 0.32") and (table.runtime_ms.drop("no_op", level=1) > 0).all()
    assert table.runtime_ms["attention", "linear"] < table.runtime_ms["attention", "parent"]
