"""The roofline by hand on single kernels, and its laws on tables."""

import pytest
from shapes import LLAMA_70B, SMOLLM2

from tessera.puzzle.costs import tables
from tessera.puzzle.costs.operations import Gemm, Pass
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.costs.roofline import Roofline
from tessera.puzzle.models.space import Space

WORKLOAD = Workload(batch=64, prefill=128, decode=16)


def roofline(dtype="bfloat16"):
    return Roofline(CostTarget(source="roofline", hardware="h100-sxm", dtype=dtype, workload=WORKLOAD))


def test_large_gemm_is_bound_by_arithmetic():
    ms, provenance = roofline().price(Gemm(8192, 8192), Pass(1, 8192))
    assert ms == pytest.approx(1e3 * 2 * 8192**3 / 989e12)
    assert provenance == "roofline"
    assert roofline("fp8").price(Gemm(8192, 8192), Pass(1, 8192))[0] == pytest.approx(ms * 989 / 1979)


def test_thin_gemm_is_bound_by_its_weight():
    ms, _ = roofline().price(Gemm(8192, 8192), Pass(1, 1, 99, decode=True))
    assert ms == pytest.approx(1e3 * 2 * (8192 * 8192 + 2 * 8192) / 3.35e12)


def test_unquantised_head_keeps_two_bytes_and_the_peak_of_bfloat16():
    head, step = Gemm(128256, 8192, quantised=False), Pass(1, 4096)
    assert roofline("fp8").price(head, step) == roofline("bfloat16").price(head, step)


@pytest.mark.parametrize("shape", [SMOLLM2, LLAMA_70B], ids=["smollm2", "llama-70b"])
@pytest.mark.parametrize("dtype", ["bfloat16", "fp8"])
def test_more_is_never_cheaper(shape, dtype):
    heads = [n for n in (1, 2, 4) if shape.num_kv_heads % n == 0 and n < shape.num_kv_heads]
    space = Space.model_validate(
        {
            "attention": {f"kv{n}": {"kind": "gqa", "kv_heads": n} for n in heads},
            "ffn": {f"ffn{w}": {"kind": "gated", "width": w / 100} for w in (10, 25, 50, 75, 87)},
        }
    )
    table = tables.table(shape, space, WORKLOAD, "roofline", hardware="h100-sxm", dtype=dtype)
    for subblock in ("attention", "ffn"):
        rows = table[table.subblock == subblock].sort_values("parameters")
        assert rows.variant.iloc[-1] == "parent"
        for column in ("prefill_ms", "decode_ms", "runtime_ms", "memory_mib"):
            assert rows[column].is_monotonic_increasing
            assert rows[column].is_unique
