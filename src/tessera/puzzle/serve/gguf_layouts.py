"""How llama.cpp counts a child's layers, under its architecture `deci` whose layers may differ.

What llama.cpp does with a `deci` file decides how a layer is written (heads H, KV heads K, channels F of each layer):

* attention of K heads: H, K > 0. A linear map in attention's place: H > 0, K = 0, its matrix as the output projection.
* no attention: H = K = 0. But the head size is read off the first layer, so there a linear map of zeros is written.
* an FFN of F channels. No FFN: F = 0, only where the layer has no attention either and is not the last: llama.cpp skips
  such a layer as a whole, attention included. Elsewhere ZERO_CHANNELS channels of zeros are written, which add nothing.
* a linear map in the FFN's place has no form, nor has a child without any attention, for llama.cpp wants a KV cache,
  nor have families whose layers differ from Llama's, windows, or query heads that were dropped: these are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tessera.puzzle.models import modeling_child, nemotron
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.loading import BLOCKS

#: Channels of an FFN of zeros: the least that every block-quantised type can hold.
ZERO_CHANNELS = 32
#: Rotary embeddings that a file can describe.
ROPE_TYPES = ("default", "linear", "llama3")


@dataclass(frozen=True)
class Layout:
    """A layer as llama.cpp counts it; `padding` names what of zeros stands where the child has nothing."""

    heads: int
    kv_heads: int
    channels: int
    padding: tuple[str, ...] = ()


def layouts(model: LanguageModel) -> list[Layout]:
    """Every layer's layout. Raises ValueError, naming the layers, if llama.cpp has no form for one."""
    config = config_of(model)
    if config.model_type == "qwen3":
        raise ValueError(
            "llama.cpp's deci does not support norms of queries and keys (as in Qwen 3), so no GGUF file can be written"
        )
    if config.model_type not in nemotron.LLAMA_SHAPED:
        raise ValueError(
            f"llama.cpp's deci has layers as Llama's, which model_type {config.model_type!r} has not: no GGUF file can "
            f"be written; expected one of {', '.join(nemotron.LLAMA_SHAPED)}"
        )
    rope = config.rope_parameters.get("rope_type", "default")
    for key, value, valid in (
        ("hidden_act", config.hidden_act, ("silu",)),
        ("sliding_window", getattr(config, "sliding_window", None), (None,)),
        ("rope_type", rope, ROPE_TYPES),
    ):
        if value not in valid:
            raise ValueError(f"llama.cpp's deci cannot compute {key} = {value!r}, so no GGUF file can be written")
    blocks = blocks_of(model)
    kinds = [{place: part.get("kind", "own") for place, part in block.items()} for block in blocks]
    linear = [i for i, kind in enumerate(kinds) if kind["ffn"] == "linear"]
    if linear:
        raise ValueError(
            f"llama.cpp has no linear map in place of an FFN, as in {_name(linear)} of this child; search without the "
            f"variant, or serve the Hugging Face checkpoint"
        )
    if all(kind["attention"] != "own" for kind in kinds):
        raise ValueError("no layer of this child has attention, and llama.cpp does not start without a KV cache")
    return [
        _layout(config, i, kind["attention"], *_sizes(block, config, i))
        for i, (kind, block) in enumerate(zip(kinds, blocks, strict=True))
    ]


def config_of(model: LanguageModel) -> Any:
    """The configuration of a child's parent, in which no size differs by layer."""
    return modeling_child.config_of(model.config, {})


def blocks_of(model: LanguageModel) -> list[dict[str, dict[str, Any]]]:
    """What config.json says of every layer, as `modeling_child` has it; of a parent's, nothing."""
    return getattr(model.config, BLOCKS, None) or [{"attention": {}, "ffn": {}} for _ in model.layers]


def _sizes(block: Mapping[str, Mapping[str, Any]], config: Any, index: int) -> tuple[int, int]:
    try:
        return nemotron.sizes(block, config)
    except ValueError as error:
        raise ValueError(f"llama.cpp's deci has no form for layer {index} of this child: {error}") from None


def _layout(config: Any, index: int, attention: str, kv_heads: int, channels: int) -> Layout:
    padding = []
    heads = 0 if attention == "no_op" else config.num_attention_heads
    if not heads and index == 0:
        heads = config.num_attention_heads
        padding.append("attention")
    if not channels and (heads or index == config.num_hidden_layers - 1):
        channels = ZERO_CHANNELS
        padding.append("ffn")
    return Layout(heads, kv_heads, channels, tuple(padding))


def _name(layers: Sequence[int]) -> str:
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"
