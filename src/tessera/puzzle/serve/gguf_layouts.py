"""How llama.cpp counts a child's layers, under those of its architectures whose layers may differ.

What a layer may hold, of heads H, KV heads K and channels F, decides how a child is written.

`deci`, for Llama-shaped parents. A layer is attention or a linear map in its place, and then an FFN:

* attention of K heads: H, K > 0. A linear map: H > 0, K = 0, its matrix as the output projection. Neither: H = K = 0.
  But the head size is read off the first layer, so there a linear map of zeros is written.
* an FFN of F channels. F = 0 has no use, for llama.cpp would skip such a layer as a whole, attention included; so
  behind attention with no FFN ZERO_CHANNELS channels of zeros are written, which add nothing.

So what is left of a child, attention, linear maps of either kind and FFNs in their order, is packed into as few layers
as will hold it: a linear map in an FFN's place begins a layer, and what is not there takes no layer.

`openelm`, for parents with norms of queries and keys (Qwen 3). Its layers have both parts, so zeros stand for what a
child dropped (one head; ZERO_CHANNELS channels); it has no linear maps, and its output map is the embedding.

Refused are children without any attention, for llama.cpp wants a KV cache, families whose layers differ from these,
windows, and under `deci` query heads that were dropped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tessera.puzzle.models import modeling_child, nemotron
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.serve.gguf_types import ARCHITECTURES, Architecture
from tessera.puzzle.serve.packing import Place, Slot, packed

#: Rotary embeddings that files of an architecture can describe.
ROPE_TYPES = {"deci": ("default", "linear", "llama3"), "openelm": ("default", "linear")}
#: Channels of an FFN of zeros: the least that every block-quantised type can hold.
ZERO_CHANNELS = 32


@dataclass(frozen=True)
class Layout:
    """A layer as llama.cpp counts it, and which subblocks of the child are in it; None where zeros or nothing are."""

    heads: int
    kv_heads: int
    channels: int
    attention: Place | None = None
    """What stands in attention's place: attention, or a linear map of either kind."""
    ffn: Place | None = None

    @property
    def padding(self) -> list[str]:
        """What of zeros stands where the child has nothing."""
        parts = {"attention": self.heads and self.attention is None, "ffn": self.channels and self.ffn is None}
        return [name for name, padded in parts.items() if padded]


def architecture(model: LanguageModel) -> Architecture:
    """llama.cpp's architecture for a child. Raises ValueError if there is none for its family or configuration."""
    config = config_of(model)
    name = ARCHITECTURES.get(config.model_type)
    if name is None:
        raise ValueError(
            f"llama.cpp has no architecture whose layers may differ for model_type {config.model_type!r}, so no GGUF "
            f"file can be written; expected one of {', '.join(ARCHITECTURES)}"
        )
    for key, value, valid in (
        ("hidden_act", config.hidden_act, ("silu",)),
        ("sliding_window", getattr(config, "sliding_window", None), (None,)),
        ("rope_type", config.rope_parameters.get("rope_type", "default"), ROPE_TYPES[name]),
        *([("tie_word_embeddings", config.tie_word_embeddings, (True,))] if name == "openelm" else []),
        *([("attention_bias", config.attention_bias, (False,))] if name == "openelm" else []),
    ):
        if value not in valid:
            raise ValueError(f"llama.cpp's {name} cannot compute {key} = {value!r}, so no GGUF file can be written")
    return name


def layouts(model: LanguageModel) -> list[Layout]:
    """The child's layers as llama.cpp counts them. Raises ValueError, naming the layers, if it has no form for one."""
    name, config, blocks = architecture(model), config_of(model), blocks_of(model)
    places = [
        ((i, place), blocks[i][place].get("kind", "own"))
        for i in range(len(blocks))
        for place in ("attention", "ffn")
        if blocks[i][place].get("kind", "own") != "no_op"
    ]
    if not any(place == "attention" and kind == "own" for (_, place), kind in places):
        raise ValueError("no layer of this child has attention, and llama.cpp does not start without a KV cache")
    sizes = {i: _sizes(name, blocks[i], config, i) for i in range(len(blocks))}
    linear = sorted({i for (i, _), kind in places if kind == "linear"})
    if linear and name == "openelm":
        raise ValueError(
            f"llama.cpp's openelm has no linear maps, as in {_name(linear)} of this child; search without the "
            f"variant, or serve the Hugging Face checkpoint"
        )
    slots: dict[Place, Slot] = {
        place: "ffn" if (place[1], kind) == ("ffn", "own") else "attention" for place, kind in places
    }
    return [_layout(name, config, sizes, i, *both) for i, both in enumerate(packed(slots))]


def _layout(
    name: Architecture,
    config: Any,
    sizes: Mapping[int, tuple[int, int, int]],
    index: int,
    attention: Place | None,
    ffn: Place | None,
) -> Layout:
    channels = sizes[ffn[0]][2] if ffn else ZERO_CHANNELS
    if attention is None:
        # deci's first layer tells the head size; openelm's layers have attention.
        heads, kv_heads = (1, 1) if name == "openelm" else (config.num_attention_heads if index == 0 else 0, 0)
    else:
        heads, kv_heads, _ = sizes[attention[0]]
        if attention[1] == "ffn":  # a linear map in its place
            heads, kv_heads = config.num_attention_heads, 0
    return Layout(heads, kv_heads, channels, attention, ffn)


def config_of(model: LanguageModel) -> Any:
    """The configuration of a child's parent, in which no size differs by layer."""
    return modeling_child.config_of(model.config, {})


def blocks_of(model: LanguageModel) -> list[dict[str, dict[str, Any]]]:
    """What config.json says of every layer, as `modeling_child` has it; of a parent's, nothing."""
    return getattr(model.config, BLOCKS, None) or [{"attention": {}, "ffn": {}} for _ in model.layers]


def _sizes(name: Architecture, block: Mapping[str, Mapping[str, Any]], config: Any, index: int) -> tuple[int, int, int]:
    """Query heads, KV heads and channels of a layer, of what is a linear map or nothing no KV heads and channels."""
    try:
        heads = config.num_attention_heads
        if name == "openelm":
            changes = block["attention"].get("config", {})
            heads = changes.get("num_attention_heads", heads)
            changes = {key: value for key, value in changes.items() if key != "num_attention_heads"}
            block = {"attention": {**block["attention"], "config": changes}, "ffn": block["ffn"]}
        return heads, *nemotron.sizes(block, config)
    except ValueError as error:
        raise ValueError(f"llama.cpp's {name} has no form for layer {index} of this child: {error}") from None


def _name(layers: Sequence[int]) -> str:
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"
