"""Subblocks of a Llama-shaped child, and how they go into layers of engines in which a layer has places for two."""

from collections.abc import Iterator, Mapping
from typing import Literal

from torch import Tensor

from tessera.puzzle.models.decoder import LanguageModel

#: A subblock of a child: its layer and `attention` or `ffn`.
Place = tuple[int, str]
#: The place that a subblock takes in a layer: the first one, or the one behind it, which ends the layer.
Slot = Literal["attention", "ffn"]


def packed(slots: Mapping[Place, Slot]) -> Iterator[tuple[Place | None, Place | None]]:
    """Subblocks in as few layers as hold them in order: what stands in attention's and the FFN's place of each.

    None stands where nothing does.
    """
    first: Place | None = None
    for place, slot in slots.items():
        if slot == "ffn":
            yield first, place
            first = None
            continue
        if first:
            yield first, None
        first = place
    if first:
        yield first, None


def parameters(model: LanguageModel, place: Place) -> tuple[dict[str, Tensor], Tensor]:
    """A subblock's own parameters, and the weight of the norm before it."""
    index, subblock = place
    module = {"attention": "self_attn", "ffn": "mlp"}[subblock]
    norm = {"attention": "input_layernorm", "ffn": "post_attention_layernorm"}[subblock]
    every = dict(model.module(index).named_parameters())
    own = {name.removeprefix(f"{module}."): value for name, value in every.items() if name.startswith(f"{module}.")}
    return own, every[f"{norm}.weight"]
