"""The kernel database: numbers seen in it, interpolation checked by leaving timed layouts out, laws, refusals."""

import pytest
from shapes import LLAMA_70B, SMOLLM2, SPACE, tiny

from tessera.puzzle.costs import tables
from tessera.puzzle.costs.kernel_database import KernelDatabase
from tessera.puzzle.costs.operations import CoreAttention, Elementwise, Gemm, Pass, decode_passes
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.models import architecture
from tessera.puzzle.models.space import Space

WORKLOAD = Workload(batch=256, prefill=512, decode=512)
_made: dict = {}


def database(software="trtllm", dtype="bfloat16", hardware="h100-sxm"):
    if (software, dtype, hardware) not in _made:
        target = CostTarget(
            source="kernel-database", hardware=hardware, software=software, dtype=dtype, workload=WORKLOAD
        )
        _made[software, dtype, hardware] = KernelDatabase(target)
    return _made[software, dtype, hardware]


def decode(batch, context):
    return Pass(batch, 1, context - 1, decode=True)


# Microseconds at batch 1, 64, 256 and context 768 in aiconfigurator-core 0.12.0, TensorRT-LLM 1.3.0rc20, bfloat16;
# given to two digits, hence the tolerance.
@pytest.mark.parametrize(
    ("kernel", "microseconds"),
    [
        (Gemm(15 * 64, 576), (3.5, 3.6, 3.9)),
        (Gemm(3072, 576), (3.9, 3.9, 4.6)),
        (Gemm(576, 1536), (4.7, 4.7, 5.0)),
        (Gemm(1536, 576), (3.4, 3.5, 3.8)),
        (Gemm(49152, 576, quantised=False), (24, 28, 37)),
        (CoreAttention(9, 1, 64), (12.6, 20, 47)),
        (CoreAttention(9, 2, 64), (12.7, 32, 63)),
        (CoreAttention(9, 4, 64), (12.7, 46, 80)),
    ],
    ids=["qkv", "gate+up", "down", "gate+up 50 %", "head", "kv1", "kv2", "kv4"],
)
def test_smollm2_kernels(kernel, microseconds):
    for batch, expected in zip((1, 64, 256), microseconds, strict=True):
        milliseconds, provenance = database().price(kernel, decode(batch, 768))
        assert 1e3 * milliseconds == pytest.approx(expected, rel=0.025)
        assert provenance == "silicon"


def test_llama_70b_ffn_in_fp8():
    # 376 ms a layer for 1000 decode steps at batch 256: norm, gate and up, activation, down.
    kernels = [Elementwise(16384, 16384), Gemm(57344, 8192), Elementwise(57344, 28672), Gemm(8192, 28672)]
    total = sum(database(dtype="fp8").price(kernel, decode(256, 1000))[0] for kernel in kernels)
    assert 1000 * total == pytest.approx(376, rel=0.005)


# Largest errors seen over the layouts, batches and contexts below, rounded up.
DECODE_TOLERANCE = {"trtllm": 0.02, "vllm": 0.25, "sglang": 0.16}
PREFILL_TOLERANCE = {"trtllm": 0.031, "vllm": 0.131, "sglang": 0.131}


@pytest.mark.parametrize("software", ["trtllm", "vllm", "sglang"])
@pytest.mark.parametrize("layout", [(8, 2), (12, 4), (24, 8), (12, 2), (24, 4), (48, 8)], ids=str)
def test_decode_interpolation_gives_timed_layouts(software, layout):
    heads, kv_heads = layout
    kernel = CoreAttention(heads, kv_heads, 64)
    for batch in (16, 64, 256):
        for context in (512, 1024, 2048):
            timed, _ = database(software).price(kernel, decode(batch, context))
            assert database(software).fold(kernel, decode(batch, context)) == pytest.approx(
                timed, rel=DECODE_TOLERANCE[software]
            )


@pytest.mark.parametrize("software", ["trtllm", "vllm", "sglang"])
@pytest.mark.parametrize("layout", [(8, 2), (12, 2), (8, 4), (24, 4), (24, 8)], ids=str)
def test_prefill_interpolation_gives_timed_layouts(software, layout):
    kernel = CoreAttention(*layout, 64)
    if software == "sglang" and layout in ((8, 4), (24, 8)):
        with pytest.raises(ValueError, match="between no two layouts of the same kernel"):
            database(software).between(kernel, Pass(16, 512))
        return
    for sequences, tokens in ((16, 512), (4, 2048), (64, 128), (1, 8192)):
        timed, _ = database(software).price(kernel, Pass(sequences, tokens))
        assert database(software).between(kernel, Pass(sequences, tokens)) == pytest.approx(
            timed, rel=PREFILL_TOLERANCE[software]
        )


def test_what_is_interpolated_says_so():
    assert database().price(CoreAttention(9, 3, 64), decode(256, 768))[1] == "interpolated"
    assert database().price(CoreAttention(9, 3, 64), Pass(16, 512))[1] == "interpolated"
    assert database().price(CoreAttention(9, 9, 64), decode(256, 768))[1] == "silicon"
    table = tables.table(SMOLLM2, SPACE, WORKLOAD, "kernel-database", hardware="h100-sxm", dtype="bfloat16")
    said = table.set_index(["subblock", "variant"]).provenance.str.contains("interpolated")
    assert list(said[said].index) == [("attention", "parent")]


def test_interpolated_layout_lies_between_its_neighbours():
    for batch in (64, 256):
        two, three, four = (database().price(CoreAttention(9, n, 64), decode(batch, 768))[0] for n in (2, 3, 4))
        assert two < three < four


@pytest.mark.parametrize("software", ["trtllm", "vllm", "sglang"])
def test_more_kv_heads_are_never_cheaper(software):
    # At batch 256 and beyond the shortest contexts; at small batches kernels of other numbers of KV heads differ by
    # their launch configuration, and the database has 8 heads below 4.
    for context in (512, 1024, 2048):
        times = [database(software).price(CoreAttention(24, n, 64), decode(256, context))[0] for n in (1, 2, 3, 4, 8)]
        assert times == sorted(times)


def test_table_is_the_sum_over_all_steps():
    workload = Workload(batch=64, prefill=100, decode=20)
    table = tables.table(SMOLLM2, SPACE, workload, "kernel-database", hardware="h100-sxm", dtype="bfloat16")
    row = table.set_index(["subblock", "variant"]).loc["attention", "kv1"]
    kernels = [Elementwise(1152, 1152), Gemm(11 * 64, 576), CoreAttention(9, 1, 64), Gemm(576, 576)]
    price = database().price
    expected = sum(price(kernel, step)[0] for step in decode_passes(workload) for kernel in kernels)
    assert row.decode_ms == pytest.approx(expected, rel=1e-12)
    whole = sum(price(kernel, Pass(64, 100))[0] for kernel in kernels)
    assert row.prefill_ms == pytest.approx(whole, rel=1e-12)


def test_decode_of_smollm2_is_attention():
    table = tables.table(SMOLLM2, SPACE, WORKLOAD, "kernel-database", hardware="h100-sxm", dtype="bfloat16")
    ms = table.set_index(["subblock", "variant"]).decode_ms
    assert ms["attention", "parent"] / (ms["attention", "parent"] + ms["ffn", "parent"]) > 0.8
    assert (ms.loc[[("attention", "no_op"), ("ffn", "no_op")]] == 0).all()


# Milliseconds of TensorRT-LLM (vLLM on Intel's) in bfloat16 at batch 64 and context 768: a GEMM of 3072 x 576, and
# decode attention of 32 query and 8 KV heads of 128; aiconfigurator-core 0.12.0, four digits.
@pytest.mark.parametrize(
    ("hardware", "gemm", "attention"),
    [
        ("a100-sxm", 0.0068, 0.1016),
        ("h200-sxm", 0.0039, 0.0793),
        ("b200-sxm", 0.0028, 0.0408),
        ("b300-sxm", 0.0028, 0.0408),
        ("gb200", 0.0028, 0.0408),
        ("gb300", 0.0028, 0.0423),
        ("l40s", 0.0062, 0.3054),
        ("rtx-pro-6000", 0.0059, 0.1319),
        ("b60", 0.0366, 0.4823),
    ],
)
def test_every_gpu(hardware, gemm, attention):
    of_gpu = database("vllm" if hardware == "b60" else "trtllm", hardware=hardware)
    assert of_gpu.price(Gemm(3072, 576), decode(64, 768))[0] == pytest.approx(gemm, abs=6e-5)
    assert of_gpu.price(CoreAttention(32, 8, 128), decode(64, 768))[0] == pytest.approx(attention, abs=6e-5)
    assert of_gpu.hardware.endswith("(database)")


def test_what_a_gpu_was_not_timed_for_is_named():
    with pytest.raises(ValueError, match=r"1\.0\.0 on NVIDIA A100 SXM.* head_dim = 64 .* timed are head_dim 128"):
        database(hardware="a100-sxm").price(CoreAttention(9, 1, 64), decode(64, 768))


def test_unknown_head_dim_is_refused_with_what_was_timed():
    shape = architecture.from_config(tiny(head_dim=80))
    with pytest.raises(ValueError, match=r"head_dim = 80 .* timed are head_dim 64, 128, 192, 256"):
        tables.table(shape, SPACE, WORKLOAD, "kernel-database", hardware="h100-sxm", dtype="bfloat16")


def test_batch_beyond_the_timed_is_refused():
    with pytest.raises(ValueError, match="expected a batch of at most 682"):
        database().price(CoreAttention(9, 3, 64), decode(1024, 768))


def test_fp8_is_faster_where_gemms_are_large():
    space = Space.model_validate({"attention": {}, "ffn": {}})
    workload = Workload(batch=256, prefill=128, decode=4)
    total = {
        dtype: tables.table(LLAMA_70B, space, workload, "kernel-database", hardware="h100-sxm", dtype=dtype).runtime_ms
        for dtype in ("bfloat16", "fp8")
    }
    assert (total["fp8"][:2] < total["bfloat16"][:2]).all()
