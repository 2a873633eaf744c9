"""A causal language model of transformers, taken apart where Puzzle needs it: at its residual stream.

Nothing here knows a family. How a decoder calls its layers is recorded by a forward pass in which the layers compute
nothing; the state between a layer's subblocks is the layer with its FFN exchanged for nothing. That the parts give the
whole again, bit for bit, is what `admission` tests of every parent.

Shapes: B batch, T new tokens, S all tokens so far, D hidden size, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.models.modeling_child import Exchange, name_of

SUBBLOCKS = ("attention", "ffn")
#: Names of the norm behind the last layer in transformers' decoders.
FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "embedding_norm")


@dataclass(frozen=True)
class Anatomy:
    """What a layer's class says of one of its subblocks, found by running the layer on two tokens."""

    name: str
    """Attribute of the layer."""
    returns: int
    """Length of the tuple that the subblock returns; 0 if it returns a tensor."""
    last: str | None
    """Linear map of the subblock whose output is what the subblock returns; None if it ends with something else."""
    norms: tuple[str, ...]
    """Norms that serve this subblock alone: without the subblock the layer's output does not depend on them."""


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
        modules, before = self.module._modules, {}
        for subblock, module in exchanged.items():
            parts = self.anatomy[subblock]
            if module is None:
                module = self._nothing[subblock]
                before |= {norm: modules[norm] for norm in parts.norms}
            before[parts.name] = modules[parts.name]
            modules |= {parts.name: module} | {norm: _IDENTITY for norm in before.keys() & set(parts.norms)}
        try:
            yield
        finally:
            modules |= before

    def inner(self, subblock: str, x: Tensor, calls: Calls, **exchanged: nn.Module | None) -> "Inner":
        """What the layer gives a subblock and gets of it, when the hidden states before the layer are x."""
        inner: list[Inner] = []

        def keep(_: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
            inner.append(Inner(args, kwargs, tensor(output)))

        handle = self.subblock(subblock).register_forward_hook(keep, with_kwargs=True)
        try:
            self(x, calls, **exchanged)
        finally:
            handle.remove()
        return inner[0]


@dataclass(frozen=True)
class Inner:
    """The arguments of one call of a subblock, and the tensor (B, T, D) that it returned."""

    args: tuple
    kwargs: dict[str, Any]
    output: Tensor

    @property
    def input(self) -> Tensor:
        """The hidden states that the subblock was given, after the norm before it if there is one."""
        return self.args[0] if self.args else self.kwargs["hidden_states"]

    def of(self, module: nn.Module) -> Tensor:
        """What another module returns in the subblock's place."""
        return tensor(module(*self.args, **self.kwargs))


class LanguageModel(nn.Module):
    """A causal language model: inputs, layers and head of transformers' own, which is `network`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()
        self.decoder = decoder_of(network)
        self.hidden_size = int(network.config.hidden_size)
        self._layers: list[Layer | None] = [None] * len(layers_of(self.decoder))

    @property
    def layers(self) -> list[Layer]:
        """All layers."""
        return [self.layer(index) for index in range(len(self._layers))]

    def layer(self, index: int) -> Layer:
        """Layer `index`, from 0."""
        known = self._layers[index]
        if known is None:
            module = self.module(index)
            parts = self._anatomy(module, index)
            known = self._layers[index] = Layer(module, index, self.hidden_size, parts)
        return known

    def module(self, index: int) -> nn.Module:
        """transformers' module of layer `index`."""
        return layers_of(self.decoder)[index]

    def state(self) -> dict[str, Tensor]:
        """Weights by name as a checkpoint holds them: what is tied to another weight is left out."""
        tied = set(self.network.all_tied_weights_keys)  # type: ignore[arg-type]
        return {name: value for name, value in self.network.state_dict().items() if name not in tied}

    def _anatomy(self, module: nn.Module, index: int) -> dict[str, Anatomy]:
        """Anatomy of a layer; that of another of the same parts, if it is known."""
        for layer in self._layers:
            if layer is not None and _kind(layer.module) == _kind(module):
                return layer.anatomy
        return anatomy(module, self.calls(2)[index], self.hidden_size, index)

    @property
    def config(self) -> Any:
        """transformers' configuration."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where the embedding is."""
        return self.network.get_input_embeddings().weight.device  # type: ignore[operator]

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) of tokens (B, T)."""
        return self.network(input_ids=tokens, use_cache=False).logits

    def inputs(
        self, tokens: Tensor, positions: Tensor | None = None, seen: Tensor | None = None
    ) -> tuple[Tensor, Calls]:
        """The hidden states before the first layer (B, T, D) of tokens (B, T), and how the layers are called.

        By default each token sees those before it, which are counted from 0; else positions (B, T) says where it is
        and seen (B, 1, T, T) which tokens it sees. Windows of the family's own are kept, counted in positions.
        """
        given: dict[str, Any] = {} if positions is None else {"position_ids": positions}
        if seen is not None:
            given["attention_mask"] = self._masks(seen, positions)
        return self._recorded(input_ids=tokens, **given)

    def calls(self, tokens: int) -> Calls:
        """How the layers are called for windows of that many tokens, each seeing those before it."""
        weight = next(p for p in self.network.parameters() if not p.is_meta)
        x = torch.zeros(1, tokens, self.hidden_size, dtype=weight.dtype, device=weight.device)
        return self._recorded(inputs_embeds=x)[1]

    @torch.no_grad()
    def _recorded(self, **given: Any) -> tuple[Tensor, Calls]:
        first: list[Tensor] = []
        arguments: list[tuple[tuple, dict[str, Any]]] = []

        def record(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            first.append(hidden_states)
            arguments.append((args, kwargs))
            return hidden_states

        modules, norm = layers_of(self.decoder), norm_of(self.decoder)
        for module in modules:
            module.forward = record
        norm.forward = lambda states: states
        try:
            self.decoder(use_cache=False, **given)
        finally:
            for module in (*modules, norm):
                del module.forward
        return first[0], Calls(arguments)

    def _masks(self, seen: Tensor, positions: Tensor | None) -> Any:
        """Masks as this network takes them, one, or one for each type of layer."""
        eager = self.config._attn_implementation == "eager"

        def mask(seen: Tensor) -> Tensor:
            if not eager:
                return seen
            dtype = self.network.get_input_embeddings().weight.dtype  # type: ignore[operator]
            return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)

        window = getattr(self.config, "sliding_window", None)
        types = set(getattr(self.config, "layer_types", None) or ())
        if not window or types == {"full_attention"}:
            return mask(seen)
        where = torch.arange(seen.shape[-1], device=seen.device)[None] if positions is None else positions
        near = where[:, None, :, None] - where[:, None, None, :] < window
        if types == {"sliding_attention"} or not types:
            return mask(seen & near)
        return {"full_attention": mask(seen), "sliding_attention": mask(seen & near)}

    def last(self, tokens: Tensor, positions: Tensor | None = None, seen: Tensor | None = None) -> Tensor:
        """Hidden states (B, T, D) after the last layer, before the final norm; arguments as of `inputs`."""
        x, calls = self.inputs(tokens, positions, seen)
        for layer in self.layers:
            x = layer(x, calls)
        return x

    def head(self, states: Tensor) -> Tensor:
        """Logits (..., V) of hidden states (..., D) after the last layer: final norm, output map, what follows it."""
        from transformers.modeling_outputs import MoeModelOutputWithPast

        # The network's own forward pass does what a family does to its logits, on states that are computed already.
        states = norm_of(self.decoder)(states)
        flat = states.reshape(1, -1, states.shape[-1])
        self.decoder.forward = lambda *_, **__: MoeModelOutputWithPast(last_hidden_state=flat)
        try:
            logits = self.network(input_ids=None, inputs_embeds=flat, use_cache=False).logits
        finally:
            del self.decoder.forward
        return logits.view(*states.shape[:-1], -1)


_IDENTITY = nn.Identity()


def tensor(output: Any) -> Tensor:
    """The hidden states in what a layer or subblock returns."""
    return output[0] if isinstance(output, tuple) else output


def decoder_of(network: Any) -> Any:
    """The decoder of a causal language model: all but its output map."""
    return network.get_decoder() if hasattr(network, "get_decoder") else network.base_model


def layers_of(decoder: nn.Module) -> Sequence[nn.Module]:
    """The layers of a decoder. Raises ValueError if it has none."""
    for name in ("layers", "h", "blocks"):
        if isinstance(layers := getattr(decoder, name, None), nn.ModuleList):
            return list(layers)
    raise ValueError(f"{type(decoder).__name__} has no list of layers")


def norm_of(decoder: nn.Module) -> nn.Module:
    """The norm behind the last layer. Raises ValueError if none has a known name."""
    for name in FINAL_NORMS:
        if isinstance(norm := getattr(decoder, name, None), nn.Module):
            return norm
    raise ValueError(f"{type(decoder).__name__} has no final norm; known names are {', '.join(FINAL_NORMS)}")


@torch.no_grad()
def anatomy(layer: nn.Module, call: tuple[tuple, dict[str, Any]], hidden_size: int, index: int) -> dict[str, Anatomy]:
    """Find what a layer's subblocks return and which norms serve one of them alone; call is that of two tokens.

    Raises ValueError if the layer has no such subblocks.
    """
    args, kwargs = call
    weight = next(layer.parameters())
    if weight.is_meta:
        raise ValueError("the layer has no weights yet")
    x = torch.linspace(-1, 1, 2 * hidden_size, dtype=weight.dtype, device=weight.device).view(1, 2, hidden_size)
    names = {subblock: name_of(layer, subblock) for subblock in SUBBLOCKS}
    outputs: dict[str, Any] = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))  # type: ignore[misc]
        for name, module in layer.named_modules()
        if name in names.values() or isinstance(module, nn.Linear)
    ]
    try:
        layer(x, *args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    returns = {
        subblock: len(outputs[name]) if isinstance(outputs[name], tuple) else 0
        for subblock, name in names.items()
        if name in outputs
    }
    if missing := set(SUBBLOCKS) - returns.keys():
        raise ValueError(f"{type(layer).__name__} does not call its {' and '.join(sorted(missing))}")
    found = {}
    for subblock, name in names.items():
        nothing = Exchange(getattr(layer, name), subblock, index, hidden_size, False, returns[subblock])
        norms = []
        with _put(layer, {name: nothing}):
            without = tensor(layer(x, *args, **kwargs))
            for norm, module in layer.named_children():
                if norm in names.values() or not list(module.parameters()):
                    continue
                with _put(layer, {norm: _IDENTITY}):
                    if torch.equal(tensor(layer(x, *args, **kwargs)), without):
                        norms.append(norm)
        found[subblock] = Anatomy(name, returns[subblock], _last_map(name, outputs), tuple(sorted(norms)))
    return found


def _last_map(subblock: str, outputs: dict[str, Any]) -> str | None:
    """The linear map of a subblock, by what each returned, that returned what the subblock did."""
    whole = tensor(outputs[subblock])
    for name, output in reversed(outputs.items()):
        inside = name.startswith(f"{subblock}.") and isinstance(output, Tensor) and output.numel() == whole.numel()
        if inside and torch.equal(output.reshape_as(whole), whole):
            return name.removeprefix(f"{subblock}.")
    return None


def _kind(layer: nn.Module) -> tuple:
    """What decides a layer's anatomy: the classes of the layer and its parts."""
    return type(layer), *((name, type(part)) for name, part in layer.named_children())


@contextmanager
def _put(layer: nn.Module, modules: dict[str, nn.Module]) -> Iterator[None]:
    before = {name: layer._modules[name] for name in modules}
    layer._modules |= modules
    try:
        yield
    finally:
        layer._modules |= before
