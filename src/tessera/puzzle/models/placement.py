"""A model whose layers are spread over several devices, by accelerate's hooks.

What is in no layer is on the first device, and so are the states that a layer is given and returns: who calls layers
need not know where they are.
"""

from collections.abc import Sequence

import torch
from torch import nn

from tessera.puzzle.models.anatomy import put
from tessera.puzzle.models.decoder import LanguageModel, layers_name, layers_of


def place(model: LanguageModel, devices: Sequence[torch.device]) -> LanguageModel:
    """Move a model to one device, or spread it over several, in place; return it. Copies of it stay where it is."""
    with put(model.decoder, {layers_name(model.decoder): nn.ModuleList()}):
        model.network.to(devices[0])
        ends = _size(model.network)
    modules = layers_of(model.decoder)
    numbers = runs([_size(module) for module in modules], ends, len(devices))
    for module, number in zip(modules, numbers, strict=True):
        module.to(devices[number])
        if len(devices) > 1:
            from accelerate.hooks import AlignDevicesHook, add_hook_to_module

            add_hook_to_module(module, AlignDevicesHook(execution_device=devices[number], io_same_device=True))
    return model


def runs(layers: Sequence[int], ends: int, devices: int) -> list[int]:
    """The device of each layer, of sizes `layers`, if all devices hold about as much and the first also `ends`."""
    share, before, numbers = (ends + sum(layers)) / devices, float(ends), []
    for size in layers:
        numbers.append(min(int((before + size / 2) / share), devices - 1))
        before += size
    return numbers


def _size(module: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())
