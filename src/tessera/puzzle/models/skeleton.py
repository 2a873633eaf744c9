"""A parent's modules on the meta device, without weights: what its parameters and kernels are counted by."""

import inspect
import itertools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.models import variants
from tessera.puzzle.models.anatomy import SUBBLOCKS, Anatomy, norms_of, tensor
from tessera.puzzle.models.decoder import decoder_of, layers_of
from tessera.puzzle.models.layer import Layer, kind_of
from tessera.puzzle.models.modeling_child import name_of
from tessera.puzzle.models.space import FFN, Attention

#: Lengths of the tuples that attention and FFN may return, 0 for a tensor, in the order in which they are tried.
RETURNS = tuple(itertools.product((2, 0, 3), (0, 2)))


class Skeleton:
    """The layers of a model of any family, and what they are exchanged for, by shape alone."""

    def __init__(self, config: Any) -> None:
        from transformers import AutoModelForCausalLM
        from transformers.initialization import no_init_weights

        with torch.device("meta"), no_init_weights():
            self.network = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
            self.network.tie_weights()
        self.config = config
        self.windows = windows(config)
        known: dict[tuple, dict[str, Anatomy]] = {}
        self._parts: dict[tuple[int, Attention | FFN], nn.Module] = {}
        self.layers: list[Layer] = []
        for index, module in enumerate(layers_of(decoder_of(self.network))):
            kind = kind_of(module)
            if kind not in known:
                known[kind] = anatomy(module, index, config.hidden_size)
            self.layers.append(Layer(module, index, config.hidden_size, known[kind]))

    def part(self, layer: int, variant: Attention | FFN) -> nn.Module | None:
        """The module of a variant of a layer; None for a no-op. Raises ValueError if the family has no such variant."""
        if variant.kind == "no_op":
            return None
        if (layer, variant) not in self._parts:
            whole = self.layers[layer]
            subblock = "attention" if isinstance(variant, Attention) else "ffn"
            described = variants.part(whole, self.config, variant)
            same = described == {"kind": "own"}
            module = whole.subblock(subblock) if same else variants.build(whole, self.config, described, subblock)
            self._parts[layer, variant] = module
        return self._parts[layer, variant]

    def norms(self, layer: int, subblock: str) -> list[nn.Module]:
        """The norms of a layer that serve one subblock alone."""
        whole = self.layers[layer]
        return [getattr(whole.module, name) for name in whole.anatomy[subblock].norms]

    def window(self, layer: int, variant: Attention) -> int | None:
        """Tokens that a query of a variant sees at most; None for all."""
        return min((size for size in (self.windows[layer], variant.window) if size), default=None)

    def kinds(self, subblock: str) -> list[list[int]]:
        """The layers in groups of the same subblock: class, shapes and window."""
        groups: dict[Any, list[int]] = {}
        for index, layer in enumerate(self.layers):
            module = layer.subblock(subblock)
            shapes = tuple((name, tuple(p.shape)) for name, p in module.named_parameters())
            window = self.windows[index] if subblock == "attention" else None
            groups.setdefault((type(module), shapes, window), []).append(index)
        return list(groups.values())


def windows(config: Any) -> list[int | None]:
    """Tokens that a query sees at most in each layer, as transformers' own cache has it; None for all."""
    from transformers import DynamicCache

    layers = list(DynamicCache(config=config).layers)
    layers += [None] * (config.num_hidden_layers - len(layers))
    return [getattr(layer, "sliding_window", None) for layer in layers]


def anatomy(layer: nn.Module, index: int, hidden_size: int) -> dict[str, Anatomy]:
    """The anatomy of a layer on the meta device, as far as it is known without running its subblocks.

    Raises ValueError if the layer cannot be called with hidden states alone.
    """
    names = {subblock: name_of(layer, subblock) for subblock in SUBBLOCKS}
    x = torch.empty(1, 2, hidden_size, device="meta")
    required = list(inspect.signature(layer.forward).parameters.values())[1:]
    others = {p.name: None for p in required if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}

    def run(x: Tensor) -> Tensor:
        output = tensor(layer(x, **others))
        if output.shape != x.shape:
            raise ValueError("not a layer of hidden states")
        return output

    for lengths in RETURNS:
        returns = dict(zip(SUBBLOCKS, lengths, strict=True))
        try:
            norms = norms_of(layer, index, returns, x, run)
        except (TypeError, ValueError, AttributeError, RuntimeError):
            continue
        return {s: Anatomy(names[s], returns[s], norms[s]) for s in SUBBLOCKS}
    raise ValueError(f"{type(layer).__name__}: its parts cannot be found without weights")


def linear_maps(module: nn.Module) -> list[tuple[int, int]]:
    """(outputs, inputs) of the linear maps within a module, in its order, a mixture's experts left out."""
    maps = []
    for part in module.modules():
        weight = getattr(part, "weight", None)
        if isinstance(part, nn.Linear):
            maps.append((part.out_features, part.in_features))
        elif type(part).__name__ == "Conv1D" and isinstance(weight, Tensor):  # GPT-2's, of the transposed weight
            maps.append((weight.shape[1], weight.shape[0]))
    return maps


def count(parts: Iterable[nn.Module]) -> int:
    """Parameters of modules, each counted once."""
    return sum(p.numel() for p in {id(p): p for part in parts for p in part.parameters()}.values())
