"""Nemotron-NAS checkpoints by an implementation of their own, from config.json and tensors alone."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

#: Names of linear maps, and how channels are told, by engine.
MAPS = {"vllm": None, "tensorrt-llm": ("linear_attn", "linear_mlp"), "mlx": ("linear", "linear")}


class Reader:
    """A checkpoint, of which every tensor must be used."""

    def __init__(self, directory: Path, engine: str) -> None:
        self.engine = engine
        self.config: Any = AutoConfig.from_pretrained(directory, trust_remote_code=True)
        self.tensors = {name: value.float() for name, value in load_file(directory / "model.safetensors").items()}
        self.used: set[str] = set()

    def take(self, name: str) -> Tensor:
        self.used.add(name)
        return self.tensors[name]

    def linear(self, x: Tensor, name: str, bias: bool, out: int) -> Tensor:
        weight = self.take(f"{name}.weight")
        assert weight.shape == (out, x.shape[-1]), name
        assert (f"{name}.bias" in self.tensors) == bias, name
        return F.linear(x, weight, self.take(f"{name}.bias") if bias else None)

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.take(f"{name}.weight"), self.config.rms_norm_eps)

    def channels(self, ffn: Any) -> int:
        if self.engine == "vllm":
            assert not hasattr(ffn, "ffn_mult")
            return ffn.intermediate_size
        size = int(2 * ffn.ffn_mult * self.config.hidden_size / 3)
        return size if size % 256 == 0 else size + 256 - size % 256

    def attention(self, x: Tensor, name: str, settings: Any, rope: tuple[Tensor, Tensor]) -> Tensor:
        config = self.config
        o_bias = config.attention_bias
        if settings.replace_with_linear:
            assert MAPS[self.engine]
            bias = o_bias and self.engine == "mlx"
            return self.linear(x, f"{name}.{MAPS[self.engine][0]}", bias, config.hidden_size)
        bias = getattr(config, "qkv_bias", o_bias) if self.engine == "vllm" else o_bias
        H, K, E = config.num_attention_heads, config.num_attention_heads // settings.n_heads_in_group, config.head_dim
        q, k, v = (
            self.linear(x, f"{name}.{which}_proj", bias, heads * E).unflatten(-1, (heads, E)).transpose(1, 2)
            for which, heads in (("q", H), ("k", K), ("v", K))
        )
        q, k = apply_rotary_pos_emb(q, k, *rope)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.linear(out.transpose(1, 2).flatten(2), f"{name}.o_proj", o_bias, config.hidden_size)

    def ffn(self, x: Tensor, name: str, settings: Any) -> Tensor:
        config, bias = self.config, self.config.mlp_bias
        if settings.replace_with_linear:
            assert MAPS[self.engine]
            return self.linear(x, f"{name}.{MAPS[self.engine][1]}", bias and self.engine == "mlx", config.hidden_size)
        size = self.channels(settings)
        gate, up = (self.linear(x, f"{name}.{which}_proj", bias, size) for which in ("gate", "up"))
        return self.linear(F.silu(gate) * up, f"{name}.down_proj", bias, config.hidden_size)

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        config = self.config
        x = F.embedding(tokens, self.take("model.embed_tokens.weight"))
        rope = LlamaRotaryEmbedding(config)(x, torch.arange(tokens.shape[1])[None])
        assert len(config.block_configs) == config.num_hidden_layers
        for i, block in enumerate(config.block_configs):
            name = f"model.layers.{i}"
            assert i or self.engine != "vllm" or not block.attention.no_op, "vLLM begins with attention"
            if not block.attention.no_op:
                x = x + self.attention(
                    self.norm(x, f"{name}.input_layernorm"), f"{name}.self_attn", block.attention, rope
                )
            if not block.ffn.no_op:
                x = x + self.ffn(self.norm(x, f"{name}.post_attention_layernorm"), f"{name}.mlp", block.ffn)
        x = self.norm(x, "model.norm")
        logits = F.linear(x, self.take("model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"))
        assert self.used == self.tensors.keys()
        return logits
