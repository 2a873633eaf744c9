"""Modules of all variants of a tiny parent, and the parent with some of them in place of its own."""

import copy

import torch

from tessera.puzzle.library import initialise
from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models import blocks


def modules_of(path, variants):
    """A parent, and the modules of all variants of all layers by (layer, subblock, variant)."""
    architecture = architectures.read(path)
    model = blocks.load(path).requires_grad_(False)
    modules = {}
    for layer, block in enumerate(model.model.layers):
        for name, variant in variants.attention.items():
            spec = blocks.attention_spec(architecture, variant)
            modules[layer, "attention", name] = initialise.attention(model.spec, block.self_attn, spec)
        for name, variant in variants.ffn.items():
            spec = blocks.ffn_spec(architecture, variant)
            kept = torch.arange(spec.intermediate_size) if spec.kind == "gated" else None
            modules[layer, "ffn", name] = initialise.ffn(model.spec, block.mlp, spec, kept)
    for module in modules.values():
        if module is not None:
            module.requires_grad_(False)
    return model, modules


def exchanged(model, layer, pair):
    """A copy of the parent with one layer's subblocks exchanged."""
    child = copy.deepcopy(model)
    child.model.layers[layer].self_attn, child.model.layers[layer].mlp = pair
    return child
