"""What a decoder layer of transformers is made of, found by running it on two tokens.

Shapes: D hidden size.
"""

from collections.abc import Iterator, Mapping
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
    last: str | None
    """Linear map of the subblock whose output is what the subblock returns; None if it ends with something else."""
    norms: tuple[str, ...]
    """Norms that serve this subblock alone: without the subblock the layer's output does not depend on them."""
    normed: bool
    """Whether a norm stands between what the subblock returns and the residual stream."""


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
    found = {}
    for subblock, name in names.items():
        returned = outputs[name]
        returns = {of: len(outputs[n]) if isinstance(outputs[n], tuple) else 0 for of, n in names.items()}
        nothing = {
            names[of]: Exchange(getattr(layer, names[of]), of, index, x.shape[-1], False, returns[of])
            for of in SUBBLOCKS
        }
        (other,) = set(names.values()) - {name}
        with put(layer, {other: nothing[other]}), _outputs(layer, {name}) as alone:
            normed = not _is_multiple(run() - x, tensor(alone[name]) if name in alone else tensor(returned))
        norms = []
        with put(layer, {name: nothing[name]}):
            without = run()
            for norm, module in layer.named_children():
                if norm not in names.values() and list(module.parameters()):
                    with put(layer, {norm: IDENTITY}):
                        if torch.equal(run(), without):
                            norms.append(norm)
        found[subblock] = Anatomy(name, returns[subblock], _last_map(name, outputs), tuple(norms), normed)
    return found


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


def _is_multiple(a: Tensor, b: Tensor) -> bool:
    """Whether a is a multiple of b, to the rounding of a residual sum."""
    factor = (a * b).sum() / b.square().sum() if bool(b.any()) else 0.0
    return torch.allclose(a, factor * b, rtol=1e-2, atol=1e-3 * float(a.abs().max()))
