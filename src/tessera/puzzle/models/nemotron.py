"""Layers of children of Llama-shaped parents in the published DeciLM / Nemotron-NAS form, which servers know."""

from collections.abc import Mapping, Sequence
from typing import Any

#: Model types whose layers are RMSNorm, rotary grouped-query attention and a gated SiLU FFN, each with its residual.
LLAMA_SHAPED = ("llama", "mistral", "qwen2")


def sizes(block: Mapping[str, Mapping[str, Any]], config: Any) -> tuple[int, int]:
    """KV heads and channels of a layer that `puzzle_blocks` describes; 0 for what is a linear map or nothing.

    Raises ValueError if a part has no such form: fewer query heads, a window, or a bias of its own.
    """
    for place in ("attention", "ffn"):
        other = block[place].keys() - {"kind", "config", "returns", "drops"}
        other |= block[place].get("config", {}).keys() - {"num_key_value_heads", "intermediate_size"}
        if other:
            raise ValueError(f"{place} differs in {', '.join(sorted(other))}, which only puzzle_blocks can describe")

    def size(place: str, key: str) -> int:
        part = block[place]
        return part.get("config", {}).get(key, getattr(config, key)) if part.get("kind", "own") == "own" else 0

    return size("attention", "num_key_value_heads"), size("ffn", "intermediate_size")


def block_configs(blocks: Sequence[Mapping[str, Mapping[str, Any]]], config: Any) -> list[dict[str, Any]] | None:
    """The layers of a child by its `puzzle_blocks` and its parent's configuration; None if there is no such form."""
    if config.model_type not in LLAMA_SHAPED:
        return None
    try:
        return [_block(block, *sizes(block, config), config.num_attention_heads) for block in blocks]
    except ValueError:
        return None


def _block(block: Mapping[str, Mapping[str, Any]], kv_heads: int, channels: int, heads: int) -> dict[str, Any]:
    kinds = {place: block[place].get("kind", "own") for place in ("attention", "ffn")}
    flags = {
        place: {"no_op": kind == "no_op", "replace_with_linear": kind == "linear"} for place, kind in kinds.items()
    }
    return {
        "attention": {"n_heads_in_group": heads // kv_heads if kv_heads else None} | flags["attention"],
        "ffn": {"intermediate_size": channels or None} | flags["ffn"],
    }
