"""What a directory would be as a parent: its shape and variants, or what this package would have to learn for it."""

from pathlib import Path
from typing import Any

from tessera.common import files
from tessera.puzzle.costs import memory
from tessera.puzzle.models import architecture
from tessera.puzzle.models.architecture import SUPPORTED, Architecture
from tessera.puzzle.models.space import FFN, Attention

#: What differs from a Llama block, by model type, as the published modelling code of each family has it.
MISSING = {
    "gemma3_text": (
        "RMS norms that multiply by 1 + weight, also behind attention and FFN and on queries and keys",
        "a GELU gate (tanh form) in the FFN",
        "embeddings multiplied by the root of the hidden size",
        "layers of two kinds: a sliding window with a rotary base of its own, and every sixth one global",
        "queries scaled by query_pre_attn_scalar",
    ),
    "gemma2": (
        "RMS norms that multiply by 1 + weight, also behind attention and FFN",
        "a GELU gate (tanh form) in the FFN",
        "embeddings multiplied by the root of the hidden size",
        "a sliding window in every second layer",
        "soft caps on attention scores and logits",
    ),
    "phi3": ("one fused projection for query, key and value, and one for gate and up",),
    "mixtral": ("a mixture of experts in the FFN's place",),
    "qwen3_moe": ("a mixture of experts in the FFN's place",),
    "gpt2": ("learned positions, layer norms with biases, an FFN without a gate",),
    "olmo2": ("norms behind attention and FFN instead of before them",),
}
MISSING["gemma3"] = (*MISSING["gemma3_text"], "a language model inside one that sees images as well")


def read(directory: str | Path) -> Architecture:
    """The shape of a parent. Raises as architecture.read, with what is missing for model types of MISSING."""
    path = Path(directory) / "config.json"
    kind = files.read_json(path).get("model_type") if path.is_file() else None
    if kind not in SUPPORTED and kind in MISSING:
        reasons = "; ".join(MISSING[kind])
        raise ValueError(
            f"{path}: model_type {kind!r} is not supported. Missing: {reasons}. Supported: {', '.join(SUPPORTED)}"
        )
    return architecture.read(directory)


def summary(shape: Architecture) -> dict[str, Any]:
    """Parameters by part, and the KV heads that attention variants may have."""
    attention = memory.attention_parameters(shape, Attention(kind="gqa")).count
    ffn = memory.ffn_parameters(shape, FFN(kind="gated")).count
    outside = memory.non_block_parameters(shape).count
    return {
        "model type": shape.model_type,
        "layers": shape.num_layers,
        "hidden size": shape.hidden_size,
        "query heads, KV heads, head size": f"{shape.num_heads}, {shape.num_kv_heads}, {shape.head_dim}",
        "FFN channels": shape.intermediate_size,
        "parameters": outside + shape.num_layers * (attention + ffn),
        "of one attention, of one FFN": f"{attention:,}, {ffn:,}",
        "outside the layers": outside,
        "KV heads of variants": [n for n in range(1, shape.num_kv_heads) if shape.num_kv_heads % n == 0],
    }
