"""A child of a Llama-shaped parent as engines read Nemotron-NAS (`DeciLMForCausalLM`), each in its own dialect.

Layers may differ in KV heads and channels, and lack either part. What a dialect has not is made of what it has:

* channels that are no multiple of what it counts by are filled up with zeros, which add nothing;
* a linear map W is a gated FFN of D channels whose gate ignores its input, W_gate = 0 with the bias GATE, and whose
  other maps are W / silu(GATE) and the identity. It has three times the weights of W, so it is made only on demand. All
  FFNs then have biases, of zeros;
* biases that a dialect has in all linear maps of a kind or in none are zeros where the child has none;
* attention, where a dialect cannot begin without it, is one KV head whose output map is zero.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from tessera.puzzle.models import nemotron, variants
from tessera.puzzle.models.decoder import LanguageModel, norm_name
from tessera.puzzle.serve.gguf_layouts import blocks_of, config_of
from tessera.puzzle.serve.packing import Place, Slot, packed, parameters
from tessera.puzzle.serve.stock.form import Form, rotary

Engine = Literal["vllm", "tensorrt-llm", "mlx"]
#: The bias of a gate that ignores its input: a number that bfloat16 holds, near silu(x) = 1.
GATE = 1.28125
_ROPE = ("default", "linear", "llama3")
_COPIED = (
    "vocab_size", "hidden_size", "num_attention_heads", "hidden_act", "max_position_embeddings", "initializer_range",
    "rms_norm_eps", "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """What an engine's Nemotron-NAS can say."""

    engine: str
    maps: Mapping[str, str] | None
    """Name of a linear map within attention and FFN; None if it has none."""
    channels: int
    """FFNs have a multiple of so many channels."""
    biases: Literal["none", "qkv", "all"]
    """Of attention: none; of all maps, or all but the output's; of all or none. FFNs may have them in both latter."""
    first: bool = False
    """Whether the first layer must have attention."""
    heads_fill: bool = False
    """Whether the heads' sizes must sum to the hidden size."""


DIALECTS: dict[Engine, Dialect] = {
    "vllm": Dialect("vLLM", None, 1, "qkv", first=True),
    "tensorrt-llm": Dialect("TensorRT-LLM", {"attention": "linear_attn", "ffn": "linear_mlp"}, 256, "none"),
    "mlx": Dialect("MLX", {"attention": "linear", "ffn": "linear"}, 256, "all", heads_fill=True),
}


def convert(model: LanguageModel, engine: Engine, maps_as_ffns: bool = False) -> Form:
    """The child in an engine's dialect. Raises ValueError, naming what the engine cannot compute, if it has no form.

    maps_as_ffns makes gated FFNs of linear maps where the dialect has none.
    """
    return _Converter(model, DIALECTS[engine], maps_as_ffns).form()


class _Converter:
    def __init__(self, model: LanguageModel, dialect: Dialect, maps_as_ffns: bool) -> None:
        self.model, self.dialect = model, dialect
        self.notes: list[str] = []
        self.config = config_of(model)
        _check(self.config, dialect)
        blocks = blocks_of(model)
        try:
            self.sizes = {i: nemotron.sizes(block, self.config) for i, block in enumerate(blocks)}
        except ValueError as error:
            raise ValueError(f"{dialect.engine} has no form for a layer of this child: {error}") from None
        self.kinds: dict[Place, str] = {
            (i, place): kind
            for i, block in enumerate(blocks)
            for place, part in block.items()
            if (kind := part.get("kind", "own")) != "no_op"
        }
        maps = [place for place, kind in self.kinds.items() if kind == "linear"]
        if maps and not dialect.maps and not maps_as_ffns:
            where = ", ".join(f"{i}" for i in sorted({i for i, _ in maps}))
            raise ValueError(
                f"{dialect.engine} has no linear maps, as in layers {where}; they may be written as gated FFNs with "
                f"three times their weights (--maps-as-ffns)"
            )
        self.gated = bool(maps) and not dialect.maps
        own = [model.layers[i].subblock(place) for (i, place), kind in self.kinds.items() if kind == "own"]
        has = {name for module in own for name, _ in module.named_parameters() if name.endswith(".bias")}
        self.qkv_bias = any(name.startswith(("q_", "k_", "v_")) for name in has)
        self.o_bias = "o_proj.bias" in has
        self.ffn_bias = self.gated or any(name.startswith(("gate_", "up_", "down_")) for name in has)
        if dialect.biases == "none" and has:
            raise ValueError(f"{dialect.engine} has no biases in these layers; this child has {', '.join(sorted(has))}")
        if dialect.biases == "all":
            self.o_bias = self.qkv_bias = self.qkv_bias or self.o_bias

    def form(self) -> Form:
        """The configuration, and tensors by the names of the engine."""
        layers = self.layers()
        model = self.model
        tensors = {
            "model.embed_tokens.weight": model.network.get_input_embeddings().weight,  # type: ignore[operator]
            "model.norm.weight": getattr(model.decoder, norm_name(model.decoder)).weight,
        }
        if not self.config.tie_word_embeddings:
            tensors["lm_head.weight"] = model.network.get_output_embeddings().weight  # type: ignore[operator]
        blocks = []
        for i, (attention, ffn) in enumerate(layers):
            block = {"attention": self.attention(i, attention), "ffn": self.ffn(ffn)}
            for (norm, name), (_, part) in zip(
                (("input_layernorm", "self_attn"), ("post_attention_layernorm", "mlp")), block.values(), strict=True
            ):
                tensors |= {
                    f"model.layers.{i}.{f'{norm}.weight' if key == 'norm' else f'{name}.{key}'}": value
                    for key, value in part.items()
                }
            blocks.append({place: settings for place, (settings, _) in block.items()})
        words = f"Nemotron-NAS (DeciLMForCausalLM) as {self.dialect.engine} reads it, with {len(layers)} layers"
        tensors = {key: value.detach() for key, value in tensors.items()}
        return Form(words, self.settings(blocks), tensors, list(dict.fromkeys(self.notes)))

    def layers(self) -> list[tuple[Place | None, Place | None]]:
        """What stands in attention's and the FFN's place of each layer."""
        if self.dialect.maps:
            return [
                tuple((i, place) if (i, place) in self.kinds else None for place in ("attention", "ffn"))  # type: ignore[misc]
                for i in range(len(self.model.layers))
            ]
        slots: dict[Place, Slot] = {
            place: "attention" if (place[1], kind) == ("attention", "own") else "ffn"
            for place, kind in self.kinds.items()
        }
        return list(packed(slots)) or [(None, None)]

    def attention(self, index: int, place: Place | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What block_configs says of attention, and its tensors, `norm` that of its input."""
        settings = {"no_op": place is None, "replace_with_linear": False, "n_heads_in_group": None}
        if place is None:
            if index or not self.dialect.first:
                return settings, {}
            self.notes.append(f"the first layer has an attention of zeros, which {self.dialect.engine} begins with")
            heads = self.config.num_attention_heads
            return settings | {"no_op": False, "n_heads_in_group": heads}, self.zero_attention()
        tensors = self.parameters(place)
        if self.kinds[place] == "linear":
            return settings | {"replace_with_linear": True}, self.linear(place, tensors, self.o_bias)
        self.fill(tensors, ("q_proj", "k_proj", "v_proj"), self.qkv_bias)
        self.fill(tensors, ("o_proj",), self.o_bias)
        return settings | {"n_heads_in_group": self.config.num_attention_heads // self.sizes[place[0]][0]}, tensors

    def ffn(self, place: Place | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What block_configs says of an FFN, and its tensors, `norm` that of its input."""
        settings = {"no_op": place is None, "replace_with_linear": False}
        if place is None:
            return settings | self.width(None), {}
        tensors = self.parameters(place)
        if self.kinds[place] == "linear" and self.dialect.maps:
            return settings | {"replace_with_linear": True} | self.width(None), self.linear(
                place, tensors, self.ffn_bias
            )
        if self.kinds[place] == "linear":
            self.notes.append("linear maps are gated FFNs with three times their weights")
            tensors |= self.gate(tensors.pop("linear.weight"))
        channels = len(tensors["gate_proj.weight"])
        filled = -(-channels // self.dialect.channels) * self.dialect.channels
        if filled > channels:
            self.notes.append(f"FFNs of {channels} channels are filled up with zeros to {filled}")
            for name in ("gate_proj", "up_proj"):
                for key in (f"{name}.weight", f"{name}.bias"):
                    if key in tensors:
                        value = tensors[key]
                        tensors[key] = torch.cat([value, value.new_zeros(filled - channels, *value.shape[1:])])
            value = tensors["down_proj.weight"]
            tensors["down_proj.weight"] = torch.cat([value, value.new_zeros(len(value), filled - channels)], 1)
        self.fill(tensors, ("gate_proj", "up_proj", "down_proj"), self.ffn_bias)
        return settings | self.width(filled), tensors

    def width(self, channels: int | None) -> dict[str, Any]:
        """How block_configs tells the channels; engines that round have a multiple of 2 D / 3, rounded up to 256."""
        if self.dialect.channels == 1:
            return {"intermediate_size": channels}
        if channels is None:
            return {"ffn_mult": None}
        multiple = round(3 * channels / (2 * self.config.hidden_size), 6)
        told = -(-int(2 * multiple * self.config.hidden_size / 3) // self.dialect.channels) * self.dialect.channels
        if told != channels:
            raise ValueError(f"ffn_mult = {multiple} says {told} channels where there are {channels}")
        return {"ffn_mult": multiple}

    def parameters(self, place: Place) -> dict[str, Tensor]:
        """A subblock's tensors by the names that they have in it, and its norm's."""
        named, norm = parameters(self.model, place)
        return {"norm": norm, **named}

    def linear(self, place: Place, tensors: dict[str, Tensor], bias: bool) -> dict[str, Tensor]:
        """Tensors of a linear map by the engine's names."""
        assert self.dialect.maps
        name = self.dialect.maps[place[1]]
        named = {"norm": tensors["norm"], f"{name}.weight": tensors["linear.weight"]}
        self.fill(named, (name,), bias)
        return named

    def gate(self, weight: Tensor) -> dict[str, Tensor]:
        """The tensors of a gated FFN that is a linear map."""
        D = len(weight)
        return {
            "gate_proj.weight": weight.new_zeros(D, D),
            "gate_proj.bias": weight.new_full((D,), GATE),
            "up_proj.weight": weight / (GATE / (1 + math.exp(-GATE))),
            "down_proj.weight": torch.eye(D).to(weight),
        }

    def zero_attention(self) -> dict[str, Tensor]:
        config, weight = self.config, self.model.network.get_input_embeddings().weight  # type: ignore[operator]
        D, E = config.hidden_size, variants.head_dim(config)
        shapes = {"q_proj": (config.num_attention_heads * E, D), "k_proj": (E, D), "v_proj": (E, D)}
        shapes["o_proj"] = (D, config.num_attention_heads * E)
        tensors = {f"{name}.weight": weight.new_zeros(shape) for name, shape in shapes.items()}
        self.fill(tensors, ("q_proj", "k_proj", "v_proj"), self.qkv_bias)
        self.fill(tensors, ("o_proj",), self.o_bias)
        return tensors | {"norm": weight.new_ones(D)}

    @staticmethod
    def fill(tensors: dict[str, Tensor], names: tuple[str, ...], bias: bool) -> None:
        """Give linear maps biases of zeros, where all have biases and these none."""
        for name in names if bias else ():
            weight = tensors[f"{name}.weight"]
            tensors.setdefault(f"{name}.bias", weight.new_zeros(len(weight)))

    def settings(self, blocks: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
        """config.json, with the keys of transformers 4 as well as 5 where they differ."""
        config = self.config
        copied = {key: getattr(config, key, None) for key in _COPIED}
        groups = [b["attention"]["n_heads_in_group"] for b in blocks if b["attention"]["n_heads_in_group"]]
        settings = copied | {
            "architectures": ["DeciLMForCausalLM"],
            "model_type": "nemotron-nas",
            "auto_map": {"AutoConfig": "configuration_decilm.DeciLMConfig"},
            "num_hidden_layers": len(blocks),
            "num_key_value_heads": config.num_attention_heads // min(groups, default=config.num_attention_heads),
            "intermediate_size": config.intermediate_size,
            "head_dim": variants.head_dim(config),
            "attention_bias": self.o_bias,
            "mlp_bias": self.ffn_bias,
            "rope_parameters": dict(config.rope_parameters),
            "block_configs": blocks,
        }
        settings |= rotary(config.rope_parameters)
        return settings | ({"qkv_bias": True} if self.qkv_bias and not self.o_bias else {})


def _check(config: Any, dialect: Dialect) -> None:
    """Raise ValueError, naming the key, if the parent is of no kind that the dialect can compute."""
    name = f"{dialect.engine}'s Nemotron-NAS"
    if config.model_type not in nemotron.LLAMA_SHAPED:
        raise ValueError(
            f"{name} has no form for model_type {config.model_type!r}; expected one of "
            f"{', '.join(nemotron.LLAMA_SHAPED)}"
        )
    for key, value, valid in (
        ("hidden_act", config.hidden_act, ("silu",)),
        ("sliding_window", getattr(config, "sliding_window", None), (None,)),
        ("rope_type", config.rope_parameters.get("rope_type", "default"), _ROPE),
    ):
        if value not in valid:
            raise ValueError(f"{name} cannot compute {key} = {value!r}; expected {' or '.join(map(repr, valid))}")
    if dialect.heads_fill and (E := variants.head_dim(config)) * config.num_attention_heads != config.hidden_size:
        raise ValueError(
            f"{name} has heads of hidden_size / num_attention_heads = "
            f"{config.hidden_size / config.num_attention_heads:g} numbers; this child's have {E}"
        )
