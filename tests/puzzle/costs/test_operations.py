"""Kernels, arithmetic and passes."""

import pytest
from shapes import LLAMA_70B, SMOLLM2, SPACE

from tessera.puzzle.costs import memory, operations
from tessera.puzzle.costs.operations import CoreAttention, Gemm, Pass, decode_passes, prefill_passes
from tessera.puzzle.costs.params import Workload
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
            assert weights == memory.attention_parameters(shape, variant).quantised
        for variant in SPACE.ffns().values():
            kernels = operations.ffn_operations(shape, variant)
            weights = sum(k.n * k.k for k in kernels if isinstance(k, Gemm))
            assert weights == memory.ffn_parameters(shape, variant).quantised


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
