"""Stacks of equal layers as GGUF files, which are what `llama_cpp` times.

Weights are random, for time does not depend on them. The first layer of a stack is the parent's, for llama.cpp reads
sizes off it; one of llama.cpp's marginal times is the difference of two stacks, and does not hold it.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tessera.puzzle.costs.chains import without_layers
from tessera.puzzle.models import variants
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.decoder import LanguageModel, decoder_of
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.models.modeling_child import exchange
from tessera.puzzle.models.space import FFN, Attention
from tessera.puzzle.serve import gguf_export, gguf_layouts, gguf_tokenizer
from tessera.puzzle.serve.gguf_types import Types

#: Tokens of a stack whose embedding and output map are not what is timed.
FEW_TOKENS = 256


def stack(architecture: Architecture, attention: Attention, ffn: FFN, copies: int, vocabulary: int) -> LanguageModel:
    """The parent's first layer and `copies` layers of such variants behind it, which share their weights here."""
    network = without_layers(architecture, torch.float32, torch.device("cpu"))
    network.resize_token_embeddings(vocabulary, mean_resizing=False)
    decoder = decoder_of(network)
    first, own = _layer(architecture, Attention(kind="gqa"), FFN(kind="gated"))
    layer, described = _layer(architecture, attention, ffn)
    decoder.layers = nn.ModuleList([first, *[layer] * copies])
    network.config = decoder.config = copy.copy(network.config)
    network.config.__dict__["num_hidden_layers"] = 1 + copies
    network.config.__dict__[BLOCKS] = [own, *[described] * copies]
    for parameter in network.parameters():
        parameter.normal_(0, 0.02) if parameter.ndim > 1 else parameter.fill_(1)
    return LanguageModel(network)


def refusal(architecture: Architecture, attention: Attention, ffn: FFN) -> str | None:
    """Why llama.cpp has no form for such a layer; None if it has one."""
    try:
        gguf_layouts.layouts(stack(architecture, attention, ffn, 1, FEW_TOKENS))
    except ValueError as error:
        return str(error)
    return None


def write(model: LanguageModel, path: Path, types: Types) -> None:
    """Write a stack as a GGUF file. Raises ValueError if llama.cpp has no form for it."""
    gguf_export.write(model, path, gguf_tokenizer.unread(model.config.vocab_size), types, "stack")


def _layer(architecture: Architecture, attention: Attention, ffn: FFN) -> tuple[nn.Module, dict[str, dict[str, Any]]]:
    """A layer of the parent with variants in both places, without weights, and what config.json says of it."""
    whole = architecture.skeleton.layers[0]
    layer, described = copy.deepcopy(whole.module), {}
    for subblock, variant in (("attention", attention), ("ffn", ffn)):
        part = described[subblock] = variants.part(whole, architecture.config, variant)  # type: ignore[arg-type]
        if part != {"kind": "own"}:
            exchange(layer, subblock, variants.build(whole, architecture.config, part, subblock), part)
    return layer.to_empty(device="cpu"), described
