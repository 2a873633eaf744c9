"""Exact parameter counts and memory of every variant."""

from dataclasses import dataclass

from tessera.puzzle.costs.operations import BYTES, UNQUANTISED_BYTES
from tessera.puzzle.costs.params import Workload
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention


@dataclass(frozen=True)
class Parameters:
    """Parameter counts: `quantised` are the layers' GEMM weights, `others` are norms, biases, embedding and head."""

    quantised: int = 0
    others: int = 0

    @property
    def count(self) -> int:
        return self.quantised + self.others

    def bytes(self, dtype: str) -> int:
        """Size in memory; in fp8 only GEMM weights are of one byte."""
        return BYTES[dtype] * self.quantised + UNQUANTISED_BYTES[dtype] * self.others


def attention_parameters(architecture: Architecture, variant: Attention) -> Parameters:
    """Parameters of an attention variant with its norm."""
    a = architecture
    if variant.kind == "no_op":
        return Parameters()
    if variant.kind == "linear":
        return Parameters(a.hidden_size**2, a.hidden_size)
    query, kv = a.num_heads * a.head_dim, (variant.kv_heads or a.num_kv_heads) * a.head_dim
    biases = a.attention_bias * (query + 2 * kv) + a.output_bias * a.hidden_size
    norms = a.hidden_size + a.qk_norm * 2 * a.head_dim
    return Parameters(2 * a.hidden_size * (query + kv), norms + biases)


def ffn_parameters(architecture: Architecture, variant: FFN) -> Parameters:
    """Parameters of an FFN variant with its norm."""
    h = architecture.hidden_size
    if variant.kind == "no_op":
        return Parameters()
    if variant.kind == "linear":
        return Parameters(h**2, h)
    f = variant.intermediate_size(architecture)
    return Parameters(3 * h * f, h + architecture.mlp_bias * (2 * f + h))


def non_block_parameters(architecture: Architecture) -> Parameters:
    """Embedding, final norm, and the head unless it is the embedding."""
    matrices = 1 if architecture.tied_embeddings else 2
    return Parameters(0, (matrices * architecture.vocab_size + 1) * architecture.hidden_size)


def kv_cache_bytes(architecture: Architecture, variant: Attention, workload: Workload, dtype: str) -> int:
    """KV cache of one layer for the whole batch at full length: 2 * kv_heads * head_dim * tokens * bytes."""
    if variant.kind != "gqa":
        return 0
    tokens = workload.batch * (workload.prefill + workload.decode)
    return 2 * (variant.kv_heads or architecture.num_kv_heads) * architecture.head_dim * tokens * BYTES[dtype]
