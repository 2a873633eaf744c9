"""One layer of a decoder of transformers, cut at its residual stream.

The state between a layer's subblocks is the layer with its FFN exchanged for nothing.

Shapes: B batch, T tokens, D hidden size.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tessera.puzzle.models.anatomy import IDENTITY, Anatomy, tensor
from tessera.puzzle.models.modeling_child import Exchange, plain


@dataclass(frozen=True)
class Calls:
    """What a decoder gives each of its layers, beside the hidden states, for some tokens: masks, positions, caches."""

    arguments: Sequence[tuple[tuple, dict[str, Any]]]

    def __getitem__(self, layer: int) -> tuple[tuple, dict[str, Any]]:
        return self.arguments[layer]


class Layer:
    """One layer of a decoder, whose subblocks can be exchanged for the length of a call."""

    def __init__(self, module: nn.Module, index: int, hidden_size: int, anatomy: dict[str, Anatomy]) -> None:
        self.module, self.index, self.anatomy = module, index, anatomy
        self._nothing = {
            subblock: Exchange(self.subblock(subblock), subblock, index, hidden_size, False, parts.returns)
            for subblock, parts in anatomy.items()
        }

    def subblock(self, subblock: str) -> nn.Module:
        """The layer's attention or ffn."""
        return getattr(self.module, self.anatomy[subblock].name)

    def __call__(self, x: Tensor, calls: Calls, **exchanged: nn.Module | None) -> Tensor:
        """Hidden states (B, T, D) after the layer.

        exchanged are modules in the place of `attention` and `ffn`; None is nothing: with ffn=None the result is the
        state between the subblocks, from which attention=None goes on.
        """
        with self.exchanged(**exchanged):
            args, kwargs = calls[self.index]
            return tensor(self.module(x, *args, **kwargs))

    @contextmanager
    def exchanged(self, **exchanged: nn.Module | None) -> Iterator[None]:
        """Exchange subblocks of the layer, as the call does, within a with statement."""
        modules, before = self.module._modules, dict[str, nn.Module | None]()
        for subblock, module in exchanged.items():
            parts = self.anatomy[subblock]
            if module is None:
                module = self._nothing[subblock]
                before |= {norm: modules[norm] for norm in parts.norms}
            before[parts.name] = modules[parts.name]
            modules |= {parts.name: module} | {norm: IDENTITY for norm in before.keys() & set(parts.norms)}
        try:
            yield
        finally:
            modules |= before

    def inner(self, subblock: str, x: Tensor, calls: Calls, **exchanged: nn.Module | None) -> "Inner":
        """What the layer gives a subblock, which is not run, when the hidden states before the layer are x."""
        recorder = Recorder(self.subblock(subblock), self._nothing[subblock])
        self(x, calls, **exchanged, **{subblock: recorder})
        return Inner(*recorder.given[0])


class Recorder(nn.Module):
    """Remembers what it was given in the place of another module, and returns what `answer` makes of it."""

    def __init__(self, module: nn.Module, answer: Callable) -> None:
        super().__init__()
        self.answer = answer
        self.given: list[tuple[tuple, dict[str, Any]]] = []
        self.__dict__.update(plain(module))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.given.append((args, kwargs))
        return self.answer(*args, **kwargs)


class _Reached(Exception):  # noqa: N818 (no error: the way out)
    """A module was reached; the rest of the forward pass is not needed."""


@dataclass(frozen=True)
class Inner:
    """The arguments of one call of a subblock."""

    args: tuple
    kwargs: dict[str, Any]

    @property
    def input(self) -> Tensor:
        """The hidden states (B, T, D) that the subblock was given, after the norm before it if there is one."""
        return self.args[0] if self.args else self.kwargs["hidden_states"]

    def of(self, module: nn.Module) -> Tensor:
        """What a module returns in the subblock's place (B, T, D)."""
        return tensor(module(*self.args, **self.kwargs))

    def features(self, module: nn.Module, name: str) -> Tensor:
        """What a module in the subblock's place gives its part of that name; nothing behind the part is run."""
        inputs: list[Tensor] = []

        def reached(_: nn.Module, args: tuple) -> None:
            inputs.append(args[0])
            raise _Reached

        handle = module.get_submodule(name).register_forward_pre_hook(reached)
        try:
            self.of(module)
        except _Reached:
            return inputs[0]
        finally:
            handle.remove()
        raise ValueError(f"{type(module).__name__} does not call its {name}")


def kind_of(layer: nn.Module) -> tuple:
    """What decides a layer's anatomy: the classes of the layer and its parts."""
    return type(layer), *((name, type(part)) for name, part in layer.named_children())
