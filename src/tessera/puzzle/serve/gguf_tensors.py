"""A child's parameters by GGUF's names, in llama.cpp's order of rows.

Under `deci` llama.cpp rotates neighbouring pairs of a head's coordinates where Hugging Face rotates halves, so the rows
of the query and key projections are put in another order. `openelm` rotates halves, and has query, key and value
projections in one matrix.
"""

import math
from typing import Any

import torch

from tessera.puzzle.models import variants
from tessera.puzzle.models.decoder import LanguageModel, norm_name
from tessera.puzzle.serve.gguf_layouts import Layout, architecture, config_of, layouts
from tessera.puzzle.serve.gguf_types import Architecture
from tessera.puzzle.serve.packing import parameters

ROPE_FACTORS = "rope_freqs.weight"
Tensors = dict[str, torch.Tensor]


def tensors(model: LanguageModel) -> Tensors:
    """A child's parameters by GGUF's names, zeros included. Raises as layouts."""
    config, network, name = config_of(model), model.network, architecture(model)
    weights: Tensors = {}
    weights["token_embd.weight"] = network.get_input_embeddings().weight  # type: ignore[operator]
    weights["output_norm.weight"] = getattr(model.decoder, norm_name(model.decoder)).weight
    if not config.tie_word_embeddings:
        weights["output.weight"] = network.get_output_embeddings().weight  # type: ignore[operator]
    if (factors := rope_factors(config)) is not None:
        weights[ROPE_FACTORS] = factors
    for i, layout in enumerate(layouts(model)):
        block = _attention(model, name, layout) | _ffn(model, layout)
        weights |= {f"blk.{i}.{key}": value for key, value in block.items()}
    return {key: value.detach() for key, value in weights.items()}


def _attention(model: LanguageModel, name: Architecture, layout: Layout) -> Tensors:
    if not layout.heads:
        return {}
    config = config_of(model)
    D, E = config.hidden_size, variants.head_dim(config)
    if layout.attention is None:
        weights = {"attn_norm.weight": torch.ones(D), "attn_output.weight": torch.zeros(D, D)}
        if name == "openelm":
            weights["attn_output.weight"] = torch.zeros(D, layout.heads * E)
            weights["attn_qkv.weight"] = torch.zeros((layout.heads + 2 * layout.kv_heads) * E, D)
            weights |= {f"attn_{which}_norm.weight": torch.ones(E) for which in "qk"}
        return weights
    own, norm = parameters(model, layout.attention)
    weights = {"attn_norm.weight": norm}
    if not layout.kv_heads:
        return weights | {"attn_output.weight": own["linear.weight"]}
    if name == "openelm":
        weights["attn_qkv.weight"] = torch.cat([own[f"{which}_proj.weight"] for which in "qkv"])
        weights |= {f"attn_{which}_norm.weight": own[f"{which}_norm.weight"] for which in "qk"}
        return weights | {"attn_output.weight": own["o_proj.weight"]}
    heads = {"q": layout.heads, "k": layout.kv_heads}
    for theirs, ours in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("output", "o_proj")):
        for kind in ("weight", "bias"):
            if (value := own.get(f"{ours}.{kind}")) is not None:
                weights[f"attn_{theirs}.{kind}"] = permute(value, heads[theirs]) if theirs in heads else value
    return weights


def _ffn(model: LanguageModel, layout: Layout) -> Tensors:
    D, F = config_of(model).hidden_size, layout.channels
    if layout.ffn is None:
        shapes = {"gate": (F, D), "up": (F, D), "down": (D, F)}
        return {"ffn_norm.weight": torch.ones(D)} | {f"ffn_{n}.weight": torch.zeros(s) for n, s in shapes.items()}
    own, norm = parameters(model, layout.ffn)
    weights = {"ffn_norm.weight": norm}
    for name in ("gate", "up", "down"):
        weights |= {
            f"ffn_{name}.{kind}": own[f"{name}_proj.{kind}"]
            for kind in ("weight", "bias")
            if f"{name}_proj.{kind}" in own
        }
    return weights


def permute(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows (heads * E, ...) of a projection with row i + E/2 of each head put behind its row i."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def rope_factors(config: Any) -> torch.Tensor | None:
    """What llama.cpp divides each rotary frequency by, (E/2), where scaling is of type llama3; else None."""
    rope, size = config.rope_parameters, variants.head_dim(config)
    if rope.get("rope_type") != "llama3":
        return None
    plain = rope["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    # Long wavelengths are stretched by `factor`, short ones kept, those between are blended.
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * plain / (2 * math.pi)
    blend = ((turns - low) / (high - low)).clamp(0, 1)
    return (plain / (plain * (blend + (1 - blend) / rope["factor"]))).to(torch.float32)
