"""The cost model beside what others have measured."""

import dataclasses
import json

import pytest

from tessera.puzzle.costs import memory
from tessera.puzzle.costs.kernel_database import KernelDatabase
from tessera.puzzle.costs.lookup import child_cost
from tessera.puzzle.costs.operations import CoreAttention, Pass
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.studies.cost_validation import published, validation

WORKLOAD = Workload(batch=64, prefill=128, decode=32)


@pytest.fixture(scope="module")
def target():
    return CostTarget(source="kernel-database", hardware="h100-sxm", software="trtllm", dtype="fp8", workload=WORKLOAD)


@pytest.fixture(scope="module")
def pricer(target):
    return KernelDatabase(target)


@pytest.fixture(scope="module")
def parent():
    return published.served(published.PARENT)


@pytest.fixture(scope="module")
def child():
    return published.served(published.CHILD)


def test_published_configurations(parent, child):
    assert parent.layers == {(8, 28672): 80}
    assert sum(child.layers.values()) == 80 and sum(n for (kv, _), n in child.layers.items() if kv) == 49
    assert child.layers[8, 28672] == 48 and child.layers[0, 5632] == 8  # ffn_mult 1.0: 5461 rounded up to 256
    shape = child.architecture
    count = memory.non_block_parameters(shape).count
    for (kv, channels), layers in child.layers.items():
        own = memory.parameters(shape, validation.Attention(kind="gqa", kv_heads=kv)).count if kv else 0
        own += 3 * shape.hidden_size * channels + shape.hidden_size
        count += layers * own
    assert count == pytest.approx(49.9e9, rel=0.01)  # its name says 49B


def test_a_linear_map_is_refused(tmp_path, monkeypatch):
    import aiconfigurator_core

    block = {"attention": {"no_op": False, "replace_with_linear": True}, "ffn": {"no_op": False, "ffn_mult": 1.0}}
    (tmp_path / "model_configs").mkdir()
    (tmp_path / "model_configs" / "a_config.json").write_text(json.dumps({"block_configs": [block]}))
    monkeypatch.setattr(aiconfigurator_core, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ValueError, match=r"block_configs\[0\] has a linear map"):
        published.served("a")


def test_one_gpu_is_what_the_cost_table_says(pricer, target, parent):
    found = published.throughput(pricer, parent, WORKLOAD)
    table = of_target(parent.architecture, validation.paper_space(), target)
    summed = child_cost(table, ["parent+parent"] * 80)
    assert found["prefill_ms"] == pytest.approx(summed["prefill_ms"], rel=1e-9)
    assert found["decode_ms"] == pytest.approx(summed["decode_ms"], rel=1e-9)
    assert found["memory_gib"] == pytest.approx(summed["memory_mib"] / 1024, rel=1e-9)
    seconds = summed["runtime_ms"] / 1e3
    assert found["output_tokens_per_s"] == pytest.approx(64 * 32 / seconds)


def test_a_group_divides_memory_and_time_but_not_fully(pricer, parent):
    one, four = (published.throughput(pricer, parent, WORKLOAD, gpus) for gpus in (1, 4))
    assert four["memory_gib"] == pytest.approx(one["memory_gib"] / 4)
    assert one["decode_ms"] / 4 < four["decode_ms"] < one["decode_ms"]
    assert four["output_tokens_per_s"] < one["output_tokens_per_s"]  # of one GPU
    reduced = published.all_reduce(pricer, Pass(64, 1, decode=True), 8192, 4)
    assert 0 < reduced < published.all_reduce(pricer, Pass(64, 128), 8192, 4)
    odd = dataclasses.replace(parent, layers={(8, 28670): 80})
    with pytest.raises(ValueError, match="channels = 28670 cannot be divided among 4 GPUs"):
        published.throughput(pricer, odd, WORKLOAD, 4)


def test_throughputs_at_the_best_fit_into_memory(pricer, parent, child):
    [row] = published.throughputs(pricer, parent, child, [(128, 128)]).to_dict("records")
    assert row["paper_ratio"] == 2.07 and row["child_fits"] and row["parent_fits"]
    assert row["best_child"] >= row["child"] and row["best_parent"] >= row["parent"]  # they fit, so they are candidates
    assert row["ratio"] == row["child"] / row["parent"]
    for name, model in (("child", child), ("parent", parent)):
        workload = Workload(batch=int(row[f"best_{name}_batch"]), prefill=128, decode=128)
        best = published.throughput(pricer, model, workload, int(row[f"best_{name}_gpus"]))
        assert best["memory_gib"] * 2**30 <= published.usable_memory()
        assert best["output_tokens_per_s"] == pytest.approx(row[f"best_{name}"])
    with pytest.raises(ValueError, match="workload 7/7 is not one of the paper's: 128/128, 128/1024"):
        published.throughputs(pricer, parent, child, [(7, 7)])


def test_interpolation_leaves_the_layout_itself_out(pricer, monkeypatch):
    errors = validation.interpolation(pricer, [128])
    assert set(errors.phase) == {"decode", "prefill"} and (errors.error != 0).all()
    asked = []
    price = pricer._evaluate
    monkeypatch.setattr(pricer, "_evaluate", lambda op, step: asked.append(op) or price(op, step))
    pricer.between(CoreAttention(32, 4, 128), Pass(4, 512))
    assert [op.kv_heads for op in asked] == [2, 8]
    summary = validation.interpolation_summary(errors)
    assert summary.points.sum() == len(errors) and (summary.largest >= summary["median"]).all()


def test_database_is_above_the_bound_but_for_what_is_not_timed(parent):
    ratios = validation.against_roofline(parent.architecture, "trtllm", "bfloat16", WORKLOAD)
    assert len(ratios) == 5 + 8 + 1 and (ratios.decode_ratio > 1).all()
    assert set(ratios.columns) >= {"prefill_ratio", "decode_ms_bound", "provenance"}
