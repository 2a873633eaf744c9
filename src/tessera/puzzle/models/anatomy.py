"""What a decoder layer of transformers is made of, found by running it on two tokens, or by shape alone.

Shapes: D hidden size.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.models.modeling_child import Exchange, name_of

SUBBLOCKS = ("attention", "ffn")
IDENTITY = nn.Identity()


@dataclass(frozen=True)
class Anatomy:
    """What a layer's class says of one of its subblocks."""

    name: str
    """Attribute of the layer."""
    returns: int
    """Length of the tuple that the subblock returns; 0 if it returns a tensor."""
    norms: tuple[str, ...]
    """Norms that serve this subblock alone: without the subblock the layer's output does not depend on them."""
    last: str | None = None
    """Linear map of the subblock whose output is what the subblock returns; None if it ends with something else, or was
    not run."""
    altered: bool = False
    """Whether a norm or a factor changes what the subblock returns before it is added to the residual stream."""


def tensor(output: Any) -> Tensor:
    """The hidden states in what a layer or subblock returns."""
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def put(module: nn.Module, parts: Mapping[str, nn.Module]) -> Iterator[None]:
    """Exchange parts of a module, by name, within a with statement."""
    before = {name: module._modules[name] for name in parts}
    module._modules |= parts
    try:
        yield
    finally:
        module._modules |= before


@torch.no_grad()
def anatomy(layer: nn.Module, call: tuple[tuple, dict[str, Any]], x: Tensor, index: int) -> dict[str, Anatomy]:
    """Return the anatomy of each subblock of layer `index`; x (1, 2, D) and call are its arguments for two tokens.

    Raises ValueError if the layer has no attention or FFN, or does not call it.
    """
    args, kwargs = call

    def run() -> Tensor:
        return tensor(layer(x, *args, **kwargs))

    names = {subblock: name_of(layer, subblock) for subblock in SUBBLOCKS}
    with _outputs(layer, set(names.values())) as outputs:
        run()
    if missing := [subblock for subblock, name in names.items() if name not in outputs]:
        raise ValueError(f"{type(layer).__name__} does not call its {' and '.join(missing)}")
    returns = {of: len(outputs[name]) if isinstance(outputs[name], tuple) else 0 for of, name in names.items()}
    norms = norms_of(layer, index, returns, x, lambda x: tensor(layer(x, *args, **kwargs)))
    anatomies = {}
    for subblock, name in names.items():
        (other,) = set(SUBBLOCKS) - {subblock}
        nothing = Exchange(getattr(layer, names[other]), other, index, x.shape[-1], False, returns[other])
        with put(layer, {names[other]: nothing}), _outputs(layer, {name}) as alone:
            altered = not _is_same(run() - x, tensor(alone[name] if name in alone else outputs[name]))
        anatomies[subblock] = Anatomy(name, returns[subblock], norms[subblock], _last_map(name, outputs), altered)
    return anatomies


class _Probe(nn.Module):
    """Stands in the place of a norm: what it returns depends on its weight if its input depends on the layer's."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones_like(x[0, 0, 0]))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight if x.requires_grad else x


@torch.inference_mode(False)
@torch.enable_grad()
def norms_of(
    layer: nn.Module, index: int, returns: Mapping[str, int], x: Tensor, run: Callable[[Tensor], Tensor]
) -> dict[str, tuple[str, ...]]:
    """Return the norms that serve each subblock of layer `index` alone, which may be on the meta device.

    returns are the lengths of the tuples that subblocks return, x (1, 2, D) hidden states, and run calls the layer with
    such. Neither subblock nor norm is run.
    """
    x = x.detach().clone().requires_grad_()
    names = {subblock: name_of(layer, subblock) for subblock in SUBBLOCKS}
    probes = {
        name: _Probe(x)
        for name, module in layer.named_children()
        if name not in names.values() and list(module.parameters())
    }
    stand_ins = {
        subblock: Exchange(getattr(layer, name), subblock, index, x.shape[-1], False, returns[subblock])
        for subblock, name in names.items()
    }

    def needed(without: str = "") -> set[str]:
        """The norms on which the output depends, if all subblocks but one hand on what they are given."""
        for subblock, module in stand_ins.items():
            module.linear = None if subblock == without else IDENTITY
        with put(layer, probes | {names[subblock]: module for subblock, module in stand_ins.items()}):
            output = run(x)
        if not probes:
            return set()
        weights = [probe.weight for probe in probes.values()]
        gradients = torch.autograd.grad(output, weights, torch.ones_like(output), allow_unused=True)
        return {name for name, gradient in zip(probes, gradients, strict=True) if gradient is not None}

    whole = needed()
    alone = {subblock: whole - needed(without=subblock) for subblock in SUBBLOCKS}
    return {subblock: tuple(name for name in probes if name in norms) for subblock, norms in alone.items()}


@contextmanager
def _outputs(layer: nn.Module, names: set[str]) -> Iterator[dict[str, Any]]:
    """Yield what the named parts of a layer, and all linear maps, return, by name, in the order of their calls."""
    outputs: dict[str, Any] = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))  # type: ignore[misc]
        for name, module in layer.named_modules()
        if name in names or isinstance(module, nn.Linear)
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _last_map(subblock: str, outputs: dict[str, Any]) -> str | None:
    """The linear map of a subblock, by what each returned, that returned what the subblock did."""
    whole = tensor(outputs[subblock])
    for name, output in reversed(outputs.items()):
        inside = name.startswith(f"{subblock}.") and isinstance(output, Tensor) and output.numel() == whole.numel()
        if inside and torch.equal(output.reshape_as(whole), whole):
            return name.removeprefix(f"{subblock}.")
    return None


def _is_same(a: Tensor, b: Tensor) -> bool:
    """Whether a is b, to the rounding of a residual sum."""
    return torch.allclose(a, b, rtol=1e-2, atol=1e-3 * float(a.abs().max()))
