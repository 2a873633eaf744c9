"""Modules of all variants of a tiny parent, and the parent with some of them in place of its own."""

import numpy as np
import torch

from tessera.puzzle import child
from tessera.puzzle.library import initialise
from tessera.puzzle.models import loading
from tessera.puzzle.models.anatomy import SUBBLOCKS

#: Windows of tokens, and the document that each is from.
TOKENS = torch.randint(64, (5, 12), generator=torch.Generator().manual_seed(1))
DOCUMENTS = np.array([3, 3, 4, 5, 6])


def modules_of(path, variants):
    """A parent, and the modules of all variants of all layers by (layer, subblock, variant)."""
    model, modules = loading.load(path).requires_grad_(False), {}
    x, calls = model.inputs(torch.randint(64, (1, 8), generator=torch.Generator().manual_seed(1)))
    for layer in model.layers:
        for name, variant in variants.attention.items():
            call = layer.inner("attention", x, calls)
            modules[layer.index, "attention", name] = initialise.attention(layer, model.config, variant, call, None)
        for name, variant in variants.ffn.items():
            kept = torch.arange(round(48 * variant.width)) if variant.kind == "gated" else None
            modules[layer.index, "ffn", name] = initialise.ffn(layer, model.config, variant, kept)
    return model, modules


def exchanged(model, layer, pair):
    """A copy of the parent with one layer's subblocks exchanged."""
    replaced = {}
    for place, module in zip(SUBBLOCKS, pair, strict=True):
        parts = model.layer(layer).anatomy[place]
        nothing = {"kind": "no_op", "returns": parts.returns, "drops": list(parts.norms)}
        replaced[layer, place] = module, child.OWN if module is not None else nothing
    return child.exchanged(model, replaced)
