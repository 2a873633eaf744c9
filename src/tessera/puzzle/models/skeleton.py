"""A parent's modules on the meta device, without weights: what its parameters and kernels are counted by."""

import inspect
import itertools
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.models import variants
from tessera.puzzle.models.anatomy import SUBBLOCKS, Anatomy, tensor
from tessera.puzzle.models.decoder import decoder_of, layers_of
from tessera.puzzle.models.layer import Layer, kind_of
from tessera.puzzle.models.modeling_child import Exchange, name_of
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
    """Which norms of a layer on the meta device serve one subblock alone, by what is handed from one to another.

    Raises ValueError if the layer cannot be called with hidden states alone.
    """
    names = {subblock: name_of(layer, subblock) for subblock in SUBBLOCKS}
    for returns in RETURNS:
        try:
            served = _served(layer, index, hidden_size, names, dict(zip(SUBBLOCKS, returns, strict=True)))
        except (TypeError, ValueError, AttributeError, RuntimeError):
            continue
        return {
            subblock: Anatomy(
                names[subblock],
                size,
                None,
                tuple(sorted(norm for norm, serves in served.items() if serves == {subblock})),
                False,
            )
            for subblock, size in zip(SUBBLOCKS, returns, strict=True)
        }
    raise ValueError(f"{type(layer).__name__}: its parts cannot be found without weights")


def _served(
    layer: nn.Module, index: int, hidden_size: int, names: dict[str, str], returns: dict[str, int]
) -> dict[str, set[str]]:
    """The subblocks that each norm of a layer serves: whose input it gives, or whose output it takes."""
    calls: dict[str, tuple[Tensor, Tensor]] = {}

    def record(name: str) -> Any:
        def hook(_: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
            calls[name] = (args[0] if args else kwargs["hidden_states"]), tensor(output)

        return hook

    norms = {name: module for name, module in layer.named_children() if name not in names.values()}
    norms = {name: module for name, module in norms.items() if list(module.parameters())}
    nothing = {
        names[s]: Exchange(getattr(layer, names[s]), s, index, hidden_size, False, returns[s]) for s in SUBBLOCKS
    }
    before = {name: layer._modules[name] for name in nothing}
    with ExitStack() as stack:
        stack.callback(layer._modules.update, before)
        layer._modules.update(nothing)
        for name, module in (norms | nothing).items():
            stack.callback(module.register_forward_hook(record(name), with_kwargs=True).remove)
        required = inspect.signature(layer.forward).parameters.values()
        others = {
            p.name: None for p in list(required)[1:] if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        }
        output = tensor(layer(torch.empty(1, 2, hidden_size, device="meta"), **others))
    if output.shape != (1, 2, hidden_size) or not set(names.values()) <= calls.keys():
        raise ValueError("not a layer of hidden states")
    served: dict[str, set[str]] = {}
    for norm in norms.keys() & calls.keys():
        taken, given = calls[norm]
        served[norm] = {s for s in SUBBLOCKS if calls[names[s]][0] is given or calls[names[s]][1] is taken}
    return served


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
