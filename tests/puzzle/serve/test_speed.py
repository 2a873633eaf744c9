"""Whole models in time and memory: what is served, how rounds are summed up, what a fresh process reports."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tessera.puzzle.costs.params import CostsParams, CostTarget, Workload
from tessera.puzzle.models import loading
from tessera.puzzle.params import ComputeParams
from tessera.puzzle.serve import speed, speed_llama_cpp

CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 50,
    "tie_word_embeddings": True,
}
WORKLOAD = Workload(batch=2, prefill=5, decode=4)
SMALL = {"batch": 1, "prefill": 5, "decode": 4}
TARGET = CostTarget(source="measured", hardware="cpu", dtype="float32", workload=WORKLOAD, threads=1)

GPU = CostTarget(source="measured", hardware="cuda", dtype="bfloat16", workload=WORKLOAD)
PROFILED = CostTarget(source="roofline", hardware="h100-sxm", dtype="fp8", workload=WORKLOAD)


@pytest.fixture
def directory(tmp_path):
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**CONFIG)).save_pretrained(tmp_path)
    return tmp_path


@torch.inference_mode()
def test_serve_decodes_what_full_forward_passes_would(directory):
    model, seen = loading.load(directory), []
    embedding = model.network.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].clone()))
    assert list(speed.serve(model, WORKLOAD)) == ["prefill"] + ["decode"] * 4
    hook.remove()
    assert [tokens.shape for tokens in seen] == [(2, 5)] + [(2, 1)] * 4
    text = torch.cat(seen, 1)
    for i in range(4):
        assert torch.equal(model(text[:, : 5 + i])[:, -1].argmax(-1), text[:, 5 + i])


def test_every_model_serves_every_round(directory):
    models = {name: loading.load(directory) for name in ("parent", "child")}
    found = speed.times(models, TARGET, repeats=3)
    assert set(found) == {"parent", "child"}
    for times in found.values():
        assert len(times.prefill) == len(times.decode) == len(times.runtime) == 3
        assert all(ms > 0 for ms in times.prefill + times.decode)


def test_only_measured_targets_are_served():
    costs = CostsParams(targets={"h100": PROFILED, "gpu": GPU, "cpu": TARGET})
    assert speed.servings(costs, ComputeParams()) == {"gpu": GPU, "cpu": TARGET}
    assert speed.served(costs, ComputeParams(), "cpu") == ("cpu", TARGET)
    assert speed.served(costs, ComputeParams(), "h100") == ("gpu", GPU)


def test_the_stand_in_is_one_request_on_a_cpu_and_the_whole_batch_on_a_gpu(monkeypatch):
    costs = CostsParams(targets={"h100": PROFILED})
    ((name, found),) = speed.servings(costs, ComputeParams()).items()
    assert (name, found.hardware, found.dtype, found.workload.batch) == ("cpu", "cpu", "float32", 1)
    assert found.workload.prefill == PROFILED.workload.prefill
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ((name, found),) = speed.servings(costs, ComputeParams(device="auto")).items()
    assert (name, found.hardware, found.dtype, found.workload) == ("cuda", "cuda", "bfloat16", PROFILED.workload)


def test_beside_llama_cpp_torch_serves_the_same_requests(monkeypatch):
    work = {"batch": 1, "prefill": 7, "decode": 3}
    engine = CostTarget.model_validate(
        {"source": "llama.cpp", "hardware": "cpu", "dtype": "q8_0", "workload": work, "threads": 2}
    )
    costs = CostsParams(targets={"h100": PROFILED, "cpu": engine})
    found = speed.servings(costs, ComputeParams())
    assert list(found) == ["cpu", "torch"] and found["cpu"] == engine
    stand_in = found["torch"]
    assert (stand_in.source, stand_in.dtype, stand_in.threads) == ("measured", "float32", 2)
    assert stand_in.workload == engine.workload and speed.served(costs, ComputeParams(), "cpu") == ("torch", stand_in)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ((_, on_gpu),) = speed.by_torch(CostsParams(targets={"cpu": engine}), ComputeParams(device="auto")).items()
    assert (on_gpu.hardware, on_gpu.dtype, on_gpu.threads) == ("cuda", "bfloat16", None)


def test_a_batch_that_a_gpu_does_not_hold_is_halved(directory, monkeypatch):
    """The GPU here holds 5 requests."""

    def read(models, workload):
        assert len(models) == 2
        if workload.batch > 5:
            raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(speed, "_read_prompts", read)
    monkeypatch.setattr(speed, "load", lambda *_: loading.load(directory))
    large = GPU.model_copy(update={"workload": WORKLOAD.model_copy(update={"batch": 16})})
    assert speed.fitted([directory] * 2, large).workload.batch == 4
    assert speed.fitted([], TARGET) is TARGET


def test_prompts_fill_all_caches(directory):
    speed._read_prompts([loading.load(directory)] * 2, WORKLOAD)


def test_a_drift_of_the_machine_leaves_the_speedup_alone():
    drift = [1.0, 1.9, 1.2, 1.7, 1.0]
    parent = speed.Times([40 * d for d in drift], [200 * d for d in drift])
    child = speed.Times([20 * d for d in drift], [160 * d for d in drift])
    found = speed.speedups(parent, child)
    assert found["prefill"] == pytest.approx(2) and found["decode"] == pytest.approx(1.25)
    assert found["runtime"] == pytest.approx(240 / 180) and found["runtime_spread"] == pytest.approx(0)


def test_summary_counts_the_tokens_of_the_batch():
    found = speed.summary(speed.Times([100.0, 50.0, 60.0], [500.0, 400.0, 450.0]), WORKLOAD)
    assert found["prefill_ms"] == 60 and found["prefill_tokens_per_s"] == pytest.approx(10 / 0.06)
    assert found["decode_ms"] == 450 and found["decode_tokens_per_s"] == pytest.approx(8 / 0.45)
    assert found["decode_ms_spread"] == pytest.approx(25)
    assert found["runtime_tokens_per_s"] == pytest.approx(18 / 0.51)


def test_no_decode_steps_mean_no_decode_speed():
    prefill_only = Workload(batch=1, prefill=5, decode=0)
    times = speed.Times([2.0, 2.0], [0.0, 0.0])
    assert "decode_tokens_per_s" not in speed.summary(times, prefill_only)
    assert "decode" not in speed.speedups(times, times)


def test_peak_memory_is_of_a_process_that_holds_the_model(directory):
    found = speed.peak_memory(directory, TARGET)
    assert 0 <= found["model_mib"] < found["process_mib"]
    assert found["process_mib"] > 20  # an interpreter with torch


@pytest.mark.slow
def test_a_bad_checkpoint_is_named_by_the_fresh_process_too(directory):
    (directory / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        speed.peak_memory(directory, TARGET)


@pytest.mark.slow
def test_a_fresh_process_reports_llama_cpps_memory(directory, tmp_path):
    target = CostTarget.model_validate(
        TARGET.model_dump() | {"source": "llama.cpp", "dtype": "float16", "workload": SMALL}
    )
    served, left_out = speed_llama_cpp.write({"parent": directory}, target, tmp_path)
    assert not left_out and served["parent"].vocabulary == CONFIG["vocab_size"]
    found = speed_llama_cpp.peak_memory(served["parent"], target)
    assert found["process_mib"] > found["model_mib"] > 0
