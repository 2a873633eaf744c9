"""Exact parameter counts and memory of every variant, by the modules that it is made of."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from tessera.puzzle.costs.operations import BYTES, OUTSIDE_BYTES, STATE_BYTES, stored
from tessera.puzzle.costs.params import Workload
from tessera.puzzle.models import skeleton
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
        return round(BYTES[dtype] * self.quantised + OUTSIDE_BYTES[dtype] * self.others)


def parameters(architecture: Architecture, variant: Attention | FFN, layer: int = 0) -> Parameters:
    """Parameters of a variant of a layer, with the norms that serve it alone.

    Raises ValueError if the family has no such variant.
    """
    shapes = architecture.skeleton
    module = shapes.part(layer, variant)
    if module is None:
        return Parameters()
    subblock = "attention" if isinstance(variant, Attention) else "ffn"
    norms = shapes.norms(layer, subblock)
    matrices = sum(out * inputs for out, inputs in skeleton.linear_maps(module)) + _experts(module.parameters())
    return Parameters(matrices, skeleton.count([module, *norms]) - matrices)


def _experts(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters if p.ndim == 3)


def non_block_parameters(architecture: Architecture) -> Parameters:
    """Everything that belongs to no subblock: embedding, final norm, the head unless it is the embedding."""
    whole = skeleton.count([architecture.skeleton.network])
    blocks = sum(
        parameters(architecture, variant, layer).count
        for layer in range(architecture.num_layers)
        for variant in (Attention(kind="gqa"), FFN(kind="gated"))
    )
    return Parameters(0, whole - blocks)


def kv_cache_bytes(
    architecture: Architecture, variant: Attention, workload: Workload, dtype: str, layer: int = 0
) -> int:
    """KV cache of one layer for the whole batch at full length, or as much of it as a window sees.

    That is heads * (key size + value size) * tokens * bytes.
    """
    module = architecture.skeleton.part(layer, variant)
    if module is None or variant.kind != "gqa":
        return 0
    heads, key_size, value_size = stored(architecture, module)
    tokens = workload.prefill + workload.decode
    tokens = min(tokens, architecture.skeleton.window(layer, variant) or tokens)
    return heads * (key_size + value_size) * workload.batch * tokens * STATE_BYTES[dtype]
