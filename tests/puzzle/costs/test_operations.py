"""Kernels, arithmetic and passes."""

import pytest
from shapes import LLAMA_70B, SMOLLM2, SPACE
from zoo import ZOO

from tessera.puzzle.costs import memory, operations
from tessera.puzzle.costs.operations import (
    CoreAttention,
    Elementwise,
    ExpertsGemm,
    Gemm,
    Pass,
    decode_passes,
    prefill_passes,
)
from tessera.puzzle.costs.params import Workload
from tessera.puzzle.models import architecture
from tessera.puzzle.models.space import FFN, Attention


@pytest.mark.parametrize(
    ("batch", "prefill", "limit", "passes"),
    [
        (256, 512, 8192, [(16, Pass(16, 512))]),
        (10, 512, 2048, [(2, Pass(4, 512)), (1, Pass(2, 512))]),
        (3, 5000, 2048, [(3, Pass(1, 2048)), (3, Pass(1, 2048, 2048)), (3, Pass(1, 904, 4096))]),
        (1, 128, 8192, [(1, Pass(1, 128))]),
    ],
)
def test_prefill_passes(batch, prefill, limit, passes):
    assert prefill_passes(Workload(batch=batch, prefill=prefill, decode=1, max_num_tokens=limit)) == passes


@pytest.mark.parametrize("limit", [100, 700, 1000, 2048, 8192])
def test_passes_cover_every_token_and_pair_once(limit):
    workload = Workload(batch=7, prefill=1000, decode=3, max_num_tokens=limit)
    passes = prefill_passes(workload)
    assert sum(count * step.rows for count, step in passes) == 7 * 1000
    assert sum(count * step.scores for count, step in passes) == 7 * 1000 * 1001 // 2
    assert all(step.rows <= limit for _, step in passes)
    assert [step.past + step.tokens for step in decode_passes(workload)] == [1001, 1002, 1003]


def test_gemm_parameters_are_the_subblocks_parameters():
    for shape in (SMOLLM2, LLAMA_70B):
        for variant in SPACE.attentions().values():
            kernels = operations.attention_operations(shape, variant)
            weights = sum(k.n * k.k for k in kernels if isinstance(k, Gemm))
            assert weights == memory.parameters(shape, variant).quantised
        for variant in SPACE.ffns().values():
            kernels = operations.ffn_operations(shape, variant)
            weights = sum(k.n * k.k for k in kernels if isinstance(k, Gemm))
            assert weights == memory.parameters(shape, variant).quantised


def test_no_op_has_no_kernels():
    assert operations.attention_operations(SMOLLM2, Attention(kind="no_op")) == []
    assert operations.ffn_operations(SMOLLM2, FFN(kind="no_op")) == []


def test_traffic_of_decode_attention_is_the_kv_cache():
    step = Pass(4, 1, 99, decode=True)
    kv, io = 2 * 4 * 100 * 3 * 64 * 2, 2 * 4 * 9 * 64 * 2
    assert CoreAttention(9, 3, 64).traffic(step, "bfloat16") == kv + io
    assert CoreAttention(9, 3, 64).flops(step) == 4 * 4 * 100 * 9 * 64


def test_head_is_for_the_last_token_of_each_sequence():
    head = operations.non_block_operations(SMOLLM2)[-1]
    assert head.rows(Pass(16, 512)) == 16


def test_kernels_of_smollm2():
    """As NVIDIA's builder takes a Llama apart."""
    assert operations.attention_operations(SMOLLM2, Attention(kind="gqa")) == [
        Elementwise(1152, 1152),
        Gemm(15 * 64, 576),
        CoreAttention(9, 3, 64),
        Gemm(576, 576),
    ]
    half = FFN(kind="gated", width=0.5)
    assert operations.ffn_operations(SMOLLM2, half) == [
        Elementwise(1152, 1152),
        Gemm(1536, 576),
        Elementwise(1536, 768),
        Gemm(576, 768),
    ]


def kernels(name, variant, layer=1):
    shape = architecture.from_config(ZOO[name])
    if isinstance(variant, Attention):
        return operations.attention_operations(shape, variant, layer)[1:]
    return operations.ffn_operations(shape, variant, layer)[1:]


def test_kernels_of_other_families():
    whole, ffn = Attention(kind="gqa"), FFN(kind="gated")
    dropped = Attention(kind="gqa", kv_heads=1, reduction="drop", window=5)
    assert kernels("llama", dropped) == [Gemm(4 * 8, 32), CoreAttention(2, 1, 8, window=5), Gemm(32, 16)]
    assert kernels("qwen3", whole)[1] == CoreAttention(4, 2, 8, qk_norm=True)
    assert kernels("gemma3", whole)[0] == Elementwise(32, 32)  # the norm behind the attention
    assert [kernels("gemma3", whole, layer)[2].window for layer in (0, 1)] == [8, None]
    assert kernels("phi3", ffn) == kernels("llama", ffn) == [Gemm(96, 32), Elementwise(96, 48), Gemm(32, 48)]
    assert kernels("starcoder2", ffn) == [Gemm(48, 32), Elementwise(48, 48), Gemm(32, 48)]  # without a gate
    experts = [ExpertsGemm(96, 32, 4, 2), Elementwise(192, 96), ExpertsGemm(32, 48, 4, 2)]
    assert kernels("mixtral", ffn) == [Gemm(4, 32, quantised=False), *experts] == kernels("gpt_oss", ffn)
    fewer = [ExpertsGemm(96, 32, 2, 1), Elementwise(96, 48), ExpertsGemm(32, 48, 2, 1)]
    assert kernels("mixtral", FFN(kind="gated", experts=0.5, active=1)) == [Gemm(2, 32, quantised=False), *fewer]
    assert Gemm(32, 40) in kernels("qwen2_moe", ffn)  # the expert that every token sees
    assert kernels("qwen2_moe", ffn, 0) == kernels("llama", ffn)


def test_experts_that_a_batch_touches():
    kernel = ExpertsGemm(96, 32, experts=8, active=2)
    assert kernel.touched(Pass(1, 1)) == pytest.approx(2)
    assert kernel.touched(Pass(2, 1)) == pytest.approx(2 + 2 * 6 / 8)  # the second token's, less those of the first
    assert kernel.touched(Pass(64, 100)) == pytest.approx(8)
    assert kernel.flops(Pass(3, 5)) == 2 * 15 * 2 * 96 * 32
    assert kernel.traffic(Pass(1, 1), "bfloat16") == 2 * (2 * 96 * 32 + 2 * 32) + 2 * 2 * 96


@pytest.mark.parametrize("window", [1, 3, 7, 100])
@pytest.mark.parametrize("step", [Pass(2, 6), Pass(1, 4, 5), Pass(3, 1, 9, decode=True)])
def test_pairs_within_a_window(window, step):
    pairs = sum(min(step.past + i + 1, window) for i in range(step.tokens))
    assert step.seen(window) == step.sequences * pairs
    keys = min(step.past + step.tokens, window + step.tokens - 1)
    traffic = CoreAttention(4, 2, 8, window=window).traffic(step, "bfloat16")
    assert traffic == 2 * 2 * step.sequences * keys * 2 * 8 + 2 * 2 * step.rows * 4 * 8
