"""A Llama-architecture decoder whose layers may differ: parent and children alike.

Module and parameter names are those of Hugging Face's Llama checkpoints, with DeciLM's for linear maps, so a state
dictionary is a checkpoint. This file imports torch alone: a copy of it travels with every child that is saved.

Shapes: B batch, T new tokens, S all tokens so far, D hidden size, H query heads, K KV heads, E head size, F channels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class AttentionSpec:
    """One layer's attention: grouped-query attention, a linear map of the token itself, or nothing."""

    kind: str = "gqa"  # gqa, linear or no_op
    num_kv_heads: int = 0  # of gqa


@dataclass(frozen=True)
class FFNSpec:
    """One layer's FFN: a gated FFN, a linear map, or nothing."""

    kind: str = "gated"  # gated, linear or no_op
    intermediate_size: int = 0  # of gated


@dataclass(frozen=True)
class ModelSpec:
    """Everything that the modules need to know of a parent or child."""

    vocab_size: int
    hidden_size: int
    num_heads: int
    head_dim: int
    norm_eps: float
    rope_parameters: dict
    max_position_embeddings: int
    tied_embeddings: bool
    attention_bias: bool
    output_bias: bool
    mlp_bias: bool
    qk_norm: bool
    layers: tuple[tuple[AttentionSpec, FFNSpec], ...]


class KVCache:
    """Preallocated keys and values of one layer, (B, K, capacity, E)."""

    def __init__(self, batch: int, num_kv_heads: int, capacity: int, head_dim: int, like: Tensor) -> None:
        shape = (batch, num_kv_heads, capacity, head_dim)
        self.keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append T new keys and values (B, K, T, E); return all S so far."""
        start, self.length = self.length, self.length + keys.shape[2]
        if self.length > self.keys.shape[2]:
            raise ValueError(f"the KV cache holds {self.keys.shape[2]} tokens; {self.length} were asked of it")
        self.keys[:, :, start : self.length] = keys
        self.values[:, :, start : self.length] = values
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last dimension."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotary_frequencies(rope: dict, head_dim: int) -> Tensor:
    """Inverse frequencies (E/2) of the rotary embedding.

    Supports the types default, linear and llama3. Raises ValueError on others.
    """
    frequencies = rope["rope_theta"] ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    kind = rope.get("rope_type", "default")
    if kind == "linear":
        frequencies = frequencies / rope["factor"]
    elif kind == "llama3":
        # Long wavelengths are stretched by `factor`, short ones kept, those between are blended.
        original = rope["original_max_position_embeddings"]
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        turns = original * frequencies / (2 * math.pi)
        blend = ((turns - low) / (high - low)).clamp(0, 1)
        frequencies = frequencies * (blend + (1 - blend) / rope["factor"])
    elif kind != "default":
        raise ValueError(f"rope_parameters.rope_type is {kind!r}; supported are default, linear, llama3")
    return frequencies


class Rotary(nn.Module):
    """Cosines and sines of rotary positions, (B or 1, 1, T, E) each."""

    def __init__(self, rope: dict, head_dim: int) -> None:
        super().__init__()
        self.rope, self.head_dim = rope, head_dim

    def forward(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # Made on the fly: a buffer would be lost when a checkpoint is loaded by way of the meta device.
        frequencies = rotary_frequencies(self.rope, self.head_dim)
        angles = positions[..., None].to(torch.float32) * frequencies.to(positions.device, torch.float32)
        angles = torch.cat((angles, angles), -1)[:, None]
        return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary positions to x (B, heads, T, E)."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    """Causal grouped-query attention."""

    def __init__(self, spec: ModelSpec, num_kv_heads: int) -> None:
        super().__init__()
        D, H, K, E = spec.hidden_size, spec.num_heads, num_kv_heads, spec.head_dim
        self.num_heads, self.num_kv_heads, self.head_dim = H, K, E
        self.q_proj = nn.Linear(D, H * E, bias=spec.attention_bias)
        self.k_proj = nn.Linear(D, K * E, bias=spec.attention_bias)
        self.v_proj = nn.Linear(D, K * E, bias=spec.attention_bias)
        self.o_proj = nn.Linear(H * E, D, bias=spec.output_bias)
        self.q_norm = RMSNorm(E, spec.norm_eps) if spec.qk_norm else None
        self.k_norm = RMSNorm(E, spec.norm_eps) if spec.qk_norm else None

    def heads(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: Any = None) -> Tensor:
        """Concatenated outputs of the heads (B, T, H E), before the output projection."""
        B, T, _ = x.shape
        q = self.q_proj(x).view(B, T, self.num_heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(B, T, self.num_kv_heads, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(B, T, self.num_kv_heads, self.head_dim).transpose(1, 2)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, *rotary), rotate(k, *rotary)
        if cache is not None:
            k, v = cache.update(k, v)
        causal = mask is None and T > 1
        if causal and k.shape[2] > T:
            S = k.shape[2]
            mask, causal = torch.ones(T, S, dtype=torch.bool, device=x.device).tril(S - T), False
        gqa = self.num_kv_heads != self.num_heads
        o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=gqa)
        return o.transpose(1, 2).reshape(B, T, self.num_heads * self.head_dim)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        return self.o_proj(self.heads(x, rotary, mask, cache))


class LinearAttention(nn.Module):
    """A linear map of each token by itself in attention's place."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.linear_attn = nn.Linear(spec.hidden_size, spec.hidden_size, bias=False)

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return self.linear_attn(x)


class GatedFFN(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, spec: ModelSpec, intermediate_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(spec.hidden_size, intermediate_size, bias=spec.mlp_bias)
        self.up_proj = nn.Linear(spec.hidden_size, intermediate_size, bias=spec.mlp_bias)
        self.down_proj = nn.Linear(intermediate_size, spec.hidden_size, bias=spec.mlp_bias)

    def channels(self, x: Tensor) -> Tensor:
        """Gated channels (B, T, F), before the down projection."""
        return F.silu(self.gate_proj(x)) * self.up_proj(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.channels(x))


class LinearFFN(nn.Module):
    """A linear map in the FFN's place."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.linear_mlp = nn.Linear(spec.hidden_size, spec.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_mlp(x)


def build_attention(spec: ModelSpec, attention: AttentionSpec) -> nn.Module | None:
    """The attention module of a specification; None for no_op."""
    if attention.kind == "gqa":
        return Attention(spec, attention.num_kv_heads)
    return LinearAttention(spec) if attention.kind == "linear" else None


def build_ffn(spec: ModelSpec, ffn: FFNSpec) -> nn.Module | None:
    """The FFN module of a specification; None for no_op."""
    if ffn.kind == "gated":
        return GatedFFN(spec, ffn.intermediate_size)
    return LinearFFN(spec) if ffn.kind == "linear" else None


class Layer(nn.Module):
    """A block: an attention and an FFN subblock, each with its norm and residual, either of which may be missing."""

    def __init__(self, spec: ModelSpec, attention: AttentionSpec, ffn: FFNSpec) -> None:
        super().__init__()
        self.self_attn = build_attention(spec, attention)
        self.mlp = build_ffn(spec, ffn)
        self.input_layernorm = RMSNorm(spec.hidden_size, spec.norm_eps) if self.self_attn else None
        self.post_attention_layernorm = RMSNorm(spec.hidden_size, spec.norm_eps) if self.mlp else None

    def attend(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: Any = None) -> Tensor:
        """Hidden states (B, T, D) after the attention subblock."""
        if self.self_attn is None or self.input_layernorm is None:
            return x
        return x + self.self_attn(self.input_layernorm(x), rotary, mask, cache)

    def feed(self, x: Tensor) -> Tensor:
        """Hidden states (B, T, D) after the FFN subblock."""
        if self.mlp is None or self.post_attention_layernorm is None:
            return x
        return x + self.mlp(self.post_attention_layernorm(x))

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        return self.feed(self.attend(x, rotary, mask, cache))


class Decoder(nn.Module):
    """Embedding, layers and final norm: the `model` of a causal language model."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        # nn.Embedding's own initialisation on the meta device imports torch's compiler, which takes seconds.
        self.embed_tokens = nn.Embedding.from_pretrained(torch.randn(spec.vocab_size, spec.hidden_size), freeze=False)
        layers = nn.ModuleList(Layer(spec, attention, ffn) for attention, ffn in spec.layers)
        self.layers = cast(Sequence[Layer], layers)  # what type checkers may know of a ModuleList
        self.norm = RMSNorm(spec.hidden_size, spec.norm_eps)
        self.rotary = Rotary(spec.rope_parameters, spec.head_dim)

    def positions(self, tokens: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """Rotary cosines and sines of T tokens (B, T) that follow `start` others."""
        positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)[None]
        return self.rotary(positions, self.embed_tokens.weight.dtype)

    def forward(self, tokens: Tensor, caches: list[KVCache | None] | None = None, start: int = 0) -> Tensor:
        """Last hidden states (B, T, D), before the final norm."""
        x, rotary = self.embed_tokens(tokens), self.positions(tokens, start)
        for i, layer in enumerate(self.layers):
            x = layer(x, rotary, None, caches[i] if caches else None)
        return x


class LanguageModel(nn.Module):
    """A causal language model: decoder and output head, which may share the embedding's weight."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.model = Decoder(spec)
        self.lm_head = nn.Linear(spec.hidden_size, spec.vocab_size, bias=False)
        if spec.tied_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, tokens: Tensor, caches: list[KVCache | None] | None = None, start: int = 0) -> Tensor:
        """Logits (B, T, V) of tokens (B, T)."""
        return self.lm_head(self.model.norm(self.model(tokens, caches, start)))

    def new_caches(self, batch: int, capacity: int) -> list[KVCache | None]:
        """Empty KV caches, one a layer, None where a layer has no attention."""
        like = self.model.embed_tokens.weight
        return [
            KVCache(batch, layer.self_attn.num_kv_heads, capacity, layer.self_attn.head_dim, like)
            if isinstance(layer.self_attn, Attention)
            else None
            for layer in self.model.layers
        ]
