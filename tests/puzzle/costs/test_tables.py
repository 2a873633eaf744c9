"""Tables: columns, the cost of a child, throughput; the parameters' refusals."""

import pytest
from pydantic import ValidationError
from shapes import SMOLLM2, SPACE
from zoo import ZOO

from tessera.common import params
from tessera.puzzle.costs import lookup, tables
from tessera.puzzle.costs.lookup import ADDITIVE, ALL, of_layer
from tessera.puzzle.costs.params import CostsParams, CostTarget, Workload
from tessera.puzzle.costs.tables import Row, shares
from tessera.puzzle.models import architecture
from tessera.puzzle.models.space import Space

WORKLOAD = Workload(batch=8, prefill=64, decode=4)


@pytest.fixture(scope="module")
def table():
    return tables.table(SMOLLM2, SPACE, WORKLOAD, "roofline", hardware="h100-sxm", dtype="bfloat16")


def test_one_row_for_each_variant(table):
    rows = list(zip(table.subblock, table.variant, strict=True))
    assert rows == [
        *(("attention", v) for v in ("parent", "kv1", "linear", "no_op")),
        *(("ffn", v) for v in ("parent", "ffn75", "ffn50", "ffn25", "linear", "no_op")),
        ("non_block", "-"),
    ]
    assert not table.isna().any().any()
    assert (table.memory_mib == table.parameters_mib + table.kv_cache_mib).all()
    assert (table.runtime_ms == table.prefill_ms + table.decode_ms).all()
    no_op = table[table.variant == "no_op"]
    assert (no_op[list(ADDITIVE)] == 0).all().all()
    assert set(table.batch) == {8}


def test_work_over_time_is_the_achieved_rate(table):
    busy = table[table.decode_ms > 0]
    assert (busy.decode_gbytes <= 3350 * (1 + 1e-9)).all()  # the datasheet's bandwidth, GB/s
    assert busy.decode_gbytes.max() == pytest.approx(3350)


def test_layers_of_two_kinds_have_rows_of_their_own():
    shape = architecture.from_config(ZOO["gemma3"])
    space = Space.model_validate({"attention": {}, "ffn": {}})
    workload = Workload(batch=2, prefill=30, decode=4)
    rows = tables.table(shape, space, workload, "roofline", hardware="h100-sxm", dtype="bfloat16")
    assert list(rows["layers"]) == ["0", "1", ALL, ALL]
    short, full = rows.kv_cache_mib[:2]
    assert short / full == pytest.approx(8 / 34)
    choice = ["parent+parent"] * 2
    assert lookup.child_cost(rows, choice)["kv_cache_mib"] == pytest.approx(short + full)
    assert lookup.child_cost(rows, choice)["parameters"] == rows.parameters[[0, 1, 2, 2, 3]].sum()
    assert list(of_layer(rows, 1).index) == [1, 2, 3]
    assert len(of_layer(rows.drop(columns="layers"), 1)) == 4  # a table that does not say so


def test_layers_are_written_as_ranges():
    shape = architecture.from_config(ZOO["llama"] | {"num_hidden_layers": 12})
    row = Row("attention", "parent", None, (0, 1, 2, 4, 6, 7))
    assert row.where(shape) == "0-2 4 6-7"
    assert Row("attention", "parent", None, tuple(range(12))).where(shape) == ALL


def test_child_is_the_sum_of_its_layers(table):
    ms = table.set_index(["subblock", "variant"]).runtime_ms
    choice = ["parent+parent", "kv1+ffn50", "no_op+linear"]
    blocks = ms["attention", "parent"] + ms["ffn", "parent"] + ms["attention", "kv1"] + ms["ffn", "ffn50"]
    blocks += ms["ffn", "linear"]
    assert lookup.child_cost(table, choice, non_block=False)["runtime_ms"] == pytest.approx(blocks)
    assert lookup.child_cost(table, choice)["runtime_ms"] == pytest.approx(blocks + ms["non_block", "-"])
    assert lookup.child_cost(table, ["parent+parent"] * 30)["parameters"] == 134_515_008


def test_unknown_variant_of_a_child_is_named(table):
    with pytest.raises(ValueError, match=r"layer 1: .* no ffn variant 'ffn33'; it has parent, ffn75"):
        lookup.child_cost(table, ["parent+parent", "kv1+ffn33"])


def test_throughput():
    found = Workload(batch=10, prefill=100, decode=20).throughput(2000.0)
    assert found == {"all_tokens_per_s": 600.0, "output_tokens_per_s": 100.0}


def test_shares():
    assert shares({"silicon": 1.0, "interpolated": 3.0}) == "75 % interpolated, 25 % silicon"
    assert shares({"roofline": 1.0}) == "roofline"
    assert shares({}) == "nothing to do"


def test_impossible_variant_is_refused():
    space = Space.model_validate({"attention": {"kv2": {"kind": "gqa", "kv_heads": 2}}, "ffn": {}})
    with pytest.raises(ValueError, match=r"kv2: kv_heads is 2; for this parent, expected one of \[1, 3\]"):
        tables.table(SMOLLM2, space, WORKLOAD, "roofline", hardware="h100-sxm", dtype="bfloat16")


H100 = {"source": "kernel-database", "hardware": "h100-sxm", "dtype": "bfloat16", "workload": WORKLOAD.model_dump()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"software": "tgi"}, r"software is 'tgi'; .* expected one of trtllm, vllm, sglang"),
        ({"dtype": "float32"}, r"dtype is 'float32'; .* expected one of bfloat16, fp8"),
        ({"hardware": "b200"}, r"hardware is 'b200'; .* expected one of h100-sxm, a100-sxm, .*b60"),
        (
            {"hardware": "b60", "software": "trtllm"},
            r"with source kernel-database and hardware b60, expected one of vllm",
        ),
        ({"hardware": "a100-sxm", "dtype": "fp8"}, r"A100 has no fp8"),
        ({"threads": 2}, r"threads is for sources measured, llama.cpp, vllm, not kernel"),
        ({"source": "measured", "hardware": "cuda", "threads": 2}, r"threads is for hardware cpu"),
        ({"source": "roofline", "hardware": "a100-sxm", "dtype": "fp8"}, r"A100 has no fp8"),
        ({"source": "guess"}, r"'measured', 'llama.cpp', 'vllm', 'kernel-database' or 'roofline'"),
        ({"workload": WORKLOAD.model_dump() | {"batch": 0}}, r"greater than or equal to 1"),
        ({"batch": 3}, r": unknown key"),
    ],
)
def test_impossible_targets_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        params.check(CostsParams, {"targets": {"h100": H100 | change}})


def test_targets_are_found_by_name_and_the_first_measured_one_by_default():
    cuda = H100 | {"source": "measured", "hardware": "cuda", "software": ""}
    profile, both = ({"targets": targets} for targets in ({"h100": H100}, {"h100": H100, "gpu": cuda}))
    profile, both = params.check(CostsParams, profile), params.check(CostsParams, both)
    assert (profile.named(None, "a.target"), both.named(None, "a.target")) == ("h100", "gpu")
    assert both.named("h100", "a.target") == "h100" and list(both.measured) == ["gpu"] and not profile.measured
    with pytest.raises(ValueError, match=r"a\.target = 'cpu': no such cost target; expected one of h100, gpu"):
        both.named("cpu", "a.target")


def test_targets_have_names_fit_for_files():
    with pytest.raises(ValidationError, match="must consist of letters"):
        CostsParams.model_validate({"targets": {"../h100": CostTarget.model_validate(H100)}})
    assert CostsParams.model_validate({"targets": {"h100_b-256": H100}}).targets["h100_b-256"].software_name == "trtllm"
