"""Model specifications from configurations, a parent's or a child's.

This file, model.py and architecture.py import nothing else of the project: copies of them travel with every child.
"""

from collections.abc import Mapping, Sequence

from .architecture import Architecture
from .model import AttentionSpec, FFNSpec, ModelSpec


def model_spec(architecture: Architecture, layers: Sequence[tuple[AttentionSpec, FFNSpec]] | None = None) -> ModelSpec:
    """Specification of a model; without layers, of the parent itself."""
    a, c, kind = architecture, architecture.config, architecture.model_type
    parent = (AttentionSpec("gqa", a.num_kv_heads), FFNSpec("gated", a.intermediate_size))
    return ModelSpec(
        vocab_size=a.vocab_size,
        hidden_size=a.hidden_size,
        num_heads=a.num_heads,
        head_dim=a.head_dim,
        norm_eps=c.rms_norm_eps,
        rope_parameters=c.rope_parameters,
        max_position_embeddings=c.max_position_embeddings,
        tied_embeddings=a.tied_embeddings,
        attention_bias=kind == "qwen2" or (kind != "mistral" and bool(c.attention_bias)),
        output_bias=kind in ("llama", "qwen3") and bool(c.attention_bias),
        mlp_bias=kind == "llama" and bool(c.mlp_bias),
        qk_norm=kind == "qwen3",
        layers=tuple(layers) if layers is not None else (parent,) * a.num_layers,
    )


def block_config(attention: AttentionSpec, ffn: FFNSpec, group_size: int) -> dict:
    """One layer in the published DeciLM / Nemotron-NAS shape; group_size is query heads a KV head."""
    return {
        "attention": {
            "n_heads_in_group": group_size if attention.kind == "gqa" else None,
            "no_op": attention.kind == "no_op",
            "replace_with_linear": attention.kind == "linear",
        },
        "ffn": {
            "intermediate_size": ffn.intermediate_size if ffn.kind == "gated" else None,
            "no_op": ffn.kind == "no_op",
            "replace_with_linear": ffn.kind == "linear",
        },
    }


def layers_of(architecture: Architecture, config: Mapping) -> list[tuple[AttentionSpec, FFNSpec]] | None:
    """Layers that a config.json describes by `block_configs`; None where it has none, being a parent's.

    Raises ValueError, naming the layer and key, where they do not fit the architecture.
    """
    blocks = config.get("block_configs")
    if blocks is None:
        return None
    if len(blocks) != architecture.num_layers:
        raise ValueError(f"block_configs has {len(blocks)} layers; num_hidden_layers is {architecture.num_layers}")
    return [_layer(architecture, block, f"block_configs[{i}]") for i, block in enumerate(blocks)]


def _layer(architecture: Architecture, block: Mapping, name: str) -> tuple[AttentionSpec, FFNSpec]:
    def kind(part: Mapping, whole: str) -> str:
        return "no_op" if part.get("no_op") else "linear" if part.get("replace_with_linear") else whole

    def size(subblock: str, key: str, most: int) -> int:
        value = block[subblock].get(key)
        if not isinstance(value, int) or not 0 < value <= most:
            raise ValueError(f"{name}.{subblock}.{key} is {value!r}; valid is an integer from 1 to {most}")
        return value

    for subblock in ("attention", "ffn"):
        if not isinstance(block.get(subblock), Mapping):
            raise ValueError(f"{name}.{subblock} is {block.get(subblock)!r}; valid is a mapping")
    attention, ffn = kind(block["attention"], "gqa"), kind(block["ffn"], "gated")
    kv_heads = channels = 0
    if attention == "gqa":
        group = size("attention", "n_heads_in_group", architecture.num_heads)
        if architecture.num_heads % group:
            raise ValueError(f"{name}.attention.n_heads_in_group is {group}, no divisor of {architecture.num_heads}")
        kv_heads = architecture.num_heads // group
    if ffn == "gated":
        channels = size("ffn", "intermediate_size", architecture.intermediate_size)
    return AttentionSpec(attention, kv_heads), FFNSpec(ffn, channels)
