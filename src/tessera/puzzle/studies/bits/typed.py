"""Variants in types of weights, VARIANT@TYPE, and models whose weights are rounded so."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

from tessera.puzzle.models.anatomy import SUBBLOCKS
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import compose, decompose
from tessera.puzzle.serve.gguf_layouts import layouts
from tessera.puzzle.serve.gguf_types import Dtype, Types
from tessera.puzzle.serve.gguf_values import rounded

Modules = Mapping[str, nn.Module | None]


def name(variant: str, dtype: Dtype) -> str:
    """A variant's name in a type."""
    return f"{variant}@{dtype}"


def split(typed: str) -> tuple[str, Dtype | None]:
    """Variant and type; the type of what has no weights is None."""
    variant, at, dtype = typed.rpartition("@")
    return (variant, cast(Dtype, dtype)) if at else (typed, None)


def untyped(block: str) -> str:
    """A block ATTENTION+FFN of typed variants without their types."""
    attention, ffn = (split(part)[0] for part in decompose(block))
    return compose(attention, ffn)


def in_types(modules: Modules, types: Sequence[Dtype]) -> dict[str, nn.Module | None]:
    """Copies of variants in every type, by their typed names; what is dropped, None, has none."""
    made: dict[str, nn.Module | None] = {}
    for variant, module in modules.items():
        if module is None:
            made[variant] = None
            continue
        for dtype in types:
            made[name(variant, dtype)] = round_module(copy.deepcopy(module), dtype)
    return made


@torch.no_grad()
def round_module(module: nn.Module, dtype: Dtype) -> nn.Module:
    """Round a module's matrices, in place; vectors stay."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.data = rounded(parameter.data, dtype)
    return module


def round_outside(model: LanguageModel, dtype: Dtype) -> LanguageModel:
    """Round a model's embedding and output map, in place."""
    network: Any = model.network
    round_module(network.get_input_embeddings(), dtype)
    if network.get_output_embeddings().weight is not network.get_input_embeddings().weight:
        round_module(network.get_output_embeddings(), dtype)
    return model


def round_child(child: LanguageModel, blocks: Sequence[str], outside: Dtype) -> LanguageModel:
    """Round a child's weights, in place, as its typed blocks say."""
    for layer, block in zip(child.layers, blocks, strict=True):
        for place, part in zip(SUBBLOCKS, decompose(block), strict=True):
            if (dtype := split(part)[1]) is not None:
                round_module(layer.subblock(place), dtype)
    return round_outside(child, outside)


def gguf_types(child: LanguageModel, blocks: Sequence[str], outside: Dtype) -> Types:
    """The types of the matrices of a child's GGUF file, by its layers as llama.cpp counts them. Raises as layouts."""
    types = {
        (i, place): split(part)[1]
        for i, block in enumerate(blocks)
        for place, part in zip(SUBBLOCKS, decompose(block), strict=True)
    }
    patterns: dict[str, Dtype] = {}
    for i, layout in enumerate(layouts(child)):
        for prefix, place in (("attn", layout.attention), ("ffn", layout.ffn)):
            if place is not None and (dtype := types[place]) is not None:
                patterns[rf"^blk\.{i}\.{prefix}_"] = dtype
    return Types(outside, patterns)
