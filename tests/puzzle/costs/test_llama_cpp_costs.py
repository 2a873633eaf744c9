"""Costs in llama.cpp: by an engine that counts the work of a file in place of timing it, and by llama.cpp itself."""

import math
from pathlib import Path

import pytest
from pydantic import ValidationError
from shapes import SPACE, tiny

from tessera.puzzle.costs import llama_cpp, lookup, measured, tables
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.models import architecture
from tessera.puzzle.models.space import Space
from tessera.puzzle.search import block_library
from tessera.puzzle.serve import llama_cpp as engines

SHAPE = architecture.from_config(tiny())
OVERHEAD = 5.0


@pytest.fixture(autouse=True)
def _small_cache(monkeypatch):
    monkeypatch.setattr(measured, "cache_bytes", lambda device: 20_000)


class Counting:
    """An engine whose milliseconds are thousands of weights of a file, and OVERHEAD; a decode step takes a tenth."""

    made = 0

    def __init__(self, path: Path, context: int, threads: int | None) -> None:
        from gguf import GGUFReader

        Counting.made, self.context, self.threads = Counting.made + 1, context, threads
        self.weights = sum(float(tensor.n_elements) for tensor in GGUFReader(path).tensors) / 1e3

    def prefill_ms(self, tokens):
        assert len(tokens) == 6
        return self.weights + OVERHEAD

    def step_ms(self, tokens, count):
        assert len(tokens) + count <= self.context and count == 4
        return (self.weights + OVERHEAD) / 10


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(llama_cpp, "Engine", Counting)
    monkeypatch.setattr(engines, "software", lambda: "llama.cpp (counted)")


def table(space=SPACE, shape=SHAPE, decode=4, dtype="float32", **settings):
    return tables.table(
        shape, space, {"batch": 1, "prefill": 6, "decode": decode}, "llama.cpp", hardware="cpu", dtype=dtype,
        repeats=2, **settings,
    )  # fmt: skip


def test_costs_add_up_to_files(counted):
    """Each cost is the work of its own weights: its norm, and zeros where a file must hold some."""
    found = table().set_index(["subblock", "variant"])
    assert found.prefill_ms["attention", "parent"] == pytest.approx((32 + 2 * 32 * 32 + 2 * 32 * 16) / 1e3)
    assert found.prefill_ms["attention", "kv1"] == pytest.approx((32 + 2 * 32 * 32 + 2 * 32 * 8) / 1e3)
    assert found.prefill_ms["attention", "linear"] == pytest.approx((32 + 32 * 32) / 1e3)
    assert found.prefill_ms["attention", "no_op"] == 0
    for name, channels in (("parent", 48), ("ffn75", 36), ("ffn50", 24), ("ffn25", 12), ("no_op", 32)):
        assert found.prefill_ms["ffn", name] == pytest.approx((32 + 3 * 32 * channels) / 1e3)
    # A linear map in the FFN's place is a layer of its own, and zeros are behind attention and behind it.
    assert found.prefill_ms["ffn", "linear"] == pytest.approx((32 + 32 * 32 + 2 * (32 + 3 * 32 * 32)) / 1e3)
    outside = (64 * 32 + 64 * 32 + 32) / 1e3 + OVERHEAD  # embedding, head and norm
    assert found.prefill_ms["non_block", "-"] == pytest.approx(outside)
    assert found.decode_ms.to_numpy() == pytest.approx(4 * found.prefill_ms.to_numpy() / 10)
    assert set(found.software) == {"llama.cpp (counted)"} and set(found.source) == {"llama.cpp"}
    assert found.spread.max() == pytest.approx(0, abs=1e-9)


def test_without_decoding(counted):
    assert (table(decode=0).decode_ms == 0).all()


def test_bytes_are_those_of_the_files_type(counted):
    found = {dtype: table(dtype=dtype).set_index(["subblock", "variant"]) for dtype in ("float16", "q8_0", "q4_0")}
    for dtype, bits in (("float16", 16), ("q8_0", 8.5), ("q4_0", 4.5)):
        row = found[dtype].loc["ffn", "parent"]
        assert row.parameters_mib * 2**20 == pytest.approx(bits / 8 * (3 * 32 * 48 + 32), abs=1)
        cached = 2 * 2 * 8 * 10 * 2  # keys and values of two heads for ten tokens, in float16 always
        assert found[dtype].loc["attention", "parent"].kv_cache_mib * 2**20 == cached


def test_what_has_no_form_has_no_times(counted):
    """Its row says why, and the search for this target does without it."""
    windows = {"window4": {"kind": "gqa", "window": 4}, "kv1": {"kind": "gqa", "kv_heads": 1}}
    found = table(Space.model_validate({"attention": windows, "ffn": {}}))
    row = found.set_index(["subblock", "variant"]).loc["attention", "window4"]
    assert math.isnan(row.runtime_ms) and "no form for layer 1 of this child: attention differs in w" in row.provenance
    zeros = {name: {"kl_div": 0.0} for name in ("parent", *windows)}
    library = block_library.make([{"attention": zeros, "ffn": {"parent": {"kl_div": 0.0}}}] * 2, found)
    assert set(library["layer_0"]) == {"kv1+parent", "parent+parent"}
    assert lookup.child_cost(found, ["kv1+parent"] * 2)["runtime_ms"] > 0
    with pytest.raises(ValueError, match=r"layer 1: the target cannot compute attention variant 'window4'"):
        lookup.child_cost(found, ["kv1+parent", "window4+parent"])
    gemma = architecture.from_config(tiny("gemma2"))
    with pytest.raises(ValueError, match="layers may differ for model_type 'gemma2'"):
        table(Space.model_validate({"attention": {}, "ffn": {"ffn50": {"kind": "gated", "width": 0.5}}}), gemma)


def test_targets_that_cannot_be_timed_are_refused():
    target = {"source": "llama.cpp", "hardware": "cpu", "dtype": "q8_0"}
    with pytest.raises(ValidationError, match=r"workload\.batch is 2; with source llama\.cpp"):
        CostTarget.model_validate(target | {"workload": {"batch": 2, "prefill": 4, "decode": 4}})
    with pytest.raises(ValidationError, match=r"hardware is .cuda.; with source llama\.cpp, expected one of cpu"):
        CostTarget.model_validate(target | {"hardware": "cuda", "workload": {"batch": 1, "prefill": 4, "decode": 4}})
    with pytest.raises(ValidationError, match=r"dtype is .q8_0.; with source measured"):
        CostTarget.model_validate(target | {"source": "measured", "workload": {"batch": 1, "prefill": 4, "decode": 4}})


@pytest.mark.slow
def test_llama_cpp_itself(tmp_path):
    wide = architecture.from_config(tiny(hidden_size=256, intermediate_size=2048, head_dim=64))
    found = table(shape=wide, dtype="q8_0", threads=1).set_index(["subblock", "variant"])
    assert found.runtime_ms["ffn", "parent"] > found.runtime_ms["ffn", "ffn25"] > 0
    assert set(found.provenance) <= {"measured", "measured, upper bound", "nothing to do"}
    (tmp_path / "none.gguf").write_bytes(b"GGUF")
    with pytest.raises(RuntimeError, match=r"none\.gguf: llama\.cpp does not start with this file"):
        engines.Engine(tmp_path / "none.gguf", 16)
