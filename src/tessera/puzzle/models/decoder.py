"""A causal language model of transformers, taken apart where Puzzle needs it: at its residual stream.

Nothing here knows a family. How a decoder calls its layers is recorded by a forward pass in which the layers compute
nothing; the state between a layer's subblocks is the layer with its FFN exchanged for nothing. That the parts give the
whole again, bit for bit, is what `admission` tests of every parent.

Shapes: B batch, T new tokens, S all tokens so far, D hidden size, V vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.models.anatomy import IDENTITY, Anatomy, anatomy, put, tensor
from tessera.puzzle.models.modeling_child import Exchange, plain

#: Names of the list of layers in transformers' decoders.
LAYERS = ("layers", "h", "blocks")
#: Names of the norm behind the last layer in transformers' decoders.
FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "embedding_norm")


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
        recorder = _Recorder(self.subblock(subblock), self._nothing[subblock])
        self(x, calls, **exchanged, **{subblock: recorder})
        return Inner(*recorder.given[0])


class _Recorder(nn.Module):
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


class LanguageModel(nn.Module):
    """A causal language model: inputs, layers and head of transformers' own, which is `network`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()
        self.hidden_size = int(network.config.hidden_size)
        self._layers: list[Layer | None] = [None] * len(layers_of(self.decoder))

    @property
    def layers(self) -> Sequence[Layer]:
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

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters that `head` has: of the final norm and the output map."""
        ends = (getattr(self.decoder, norm_name(self.decoder)), self.network.get_output_embeddings())  # type: ignore[operator]
        return [parameter for end in ends for parameter in end.parameters()]

    def module(self, index: int) -> nn.Module:
        """transformers' module of layer `index`."""
        return layers_of(self.decoder)[index]

    def weights(self) -> Mapping[str, Tensor]:
        """All weights by name, tied ones too."""
        return self.network.state_dict()

    def state(self) -> dict[str, Tensor]:
        """Weights by name as a checkpoint holds them: what is tied to another weight is left out."""
        tied = set(self.network.all_tied_weights_keys)  # type: ignore[arg-type]
        return {name: value for name, value in self.network.state_dict().items() if name not in tied}

    def _anatomy(self, module: nn.Module, index: int) -> dict[str, Anatomy]:
        """Anatomy of a layer; that of another of the same parts, if it is known."""
        for layer in self._layers:
            if layer is not None and kind_of(layer.module) == kind_of(module):
                return layer.anatomy
        with torch.autocast(self.device.type, enabled=False):
            weight = next(p for p in self.network.parameters() if not p.is_meta)
            x = torch.linspace(-1, 1, 2 * self.hidden_size).to(weight).view(1, 2, -1)
            return anatomy(module, self.calls(2)[index], x, index)

    @property
    def config(self) -> Any:
        """transformers' configuration."""
        return self.network.config

    @property
    def decoder(self) -> nn.Module:
        """The network without its output map."""
        return decoder_of(self.network)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(p.device for p in self.network.parameters() if not p.is_meta)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) of tokens (B, T)."""
        return self.network(input_ids=tokens, use_cache=False).logits

    def inputs(
        self, tokens: Tensor, positions: Tensor | None = None, seen: Tensor | None = None
    ) -> tuple[Tensor, Calls]:
        """The hidden states before the first layer (B, T, D) of tokens (B, T), and how the layers are called.

        By default each token sees those before it, which are counted from 0; else positions (B, T) says where it is
        and seen (B, 1, T, T) which tokens it sees. Windows of the family's own are kept, counted in positions. All
        three may be on any device.
        """
        tokens, positions, seen = (
            None if given is None else given.to(self.device) for given in (tokens, positions, seen)
        )
        assert tokens is not None
        given: dict[str, Any] = {} if positions is None else {"position_ids": positions}
        if seen is not None:
            given["attention_mask"] = self._masks(seen, positions)
        return self._recorded(input_ids=tokens, **given)

    def calls(self, tokens: int) -> Calls:
        """How the layers are called for windows of that many tokens, each seeing those before it."""
        weight = next(p for p in self.network.parameters() if not p.is_meta)
        x = torch.zeros(1, tokens, self.hidden_size, dtype=weight.dtype, device=weight.device)
        return self._recorded(inputs_embeds=x)[1]

    def _recorded(self, **given: Any) -> tuple[Tensor, Calls]:
        """The decoder's forward pass without its norm, with layers that only remember how they were called."""
        decoder = self.decoder
        recorders = [_Recorder(module, _unchanged) for module in layers_of(decoder)]
        with put(decoder, {layers_name(decoder): nn.ModuleList(recorders), norm_name(decoder): IDENTITY}):
            decoder(use_cache=False, **given)
        calls = [recorder.given[0] for recorder in recorders]
        (x, *_), _ = calls[0]
        return x, Calls([(args[1:], kwargs) for args, kwargs in calls])

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
        decoder = self.decoder
        flat = getattr(decoder, norm_name(decoder))(states).reshape(1, -1, states.shape[-1])
        before = decoder.__dict__.get("forward")
        decoder.forward = lambda *_, **__: MoeModelOutputWithPast(last_hidden_state=flat)
        try:
            logits = self.network(input_ids=None, inputs_embeds=flat, use_cache=False).logits
        finally:
            del decoder.forward
            if before is not None:
                decoder.forward = before
        return logits.view(*states.shape[:-1], -1)


def _unchanged(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    return hidden_states


def decoder_of(network: Any) -> Any:
    """The decoder of a causal language model: all but its output map."""
    return network.get_decoder() if hasattr(network, "get_decoder") else network.base_model


def layers_name(decoder: nn.Module) -> str:
    """Name of a decoder's list of layers. Raises ValueError if it has none."""
    for name in LAYERS:
        if isinstance(getattr(decoder, name, None), nn.ModuleList):
            return name
    raise ValueError(f"{type(decoder).__name__} has no list of layers; known names are {', '.join(LAYERS)}")


def layers_of(decoder: nn.Module) -> Sequence[nn.Module]:
    """The layers of a decoder. Raises ValueError if it has none."""
    return list(getattr(decoder, layers_name(decoder)))


def norm_name(decoder: nn.Module) -> str:
    """Name of the norm behind the last layer. Raises ValueError if none has a known name."""
    for name in FINAL_NORMS:
        if isinstance(getattr(decoder, name, None), nn.Module):
            return name
    raise ValueError(f"{type(decoder).__name__} has no final norm; known names are {', '.join(FINAL_NORMS)}")


def kind_of(layer: nn.Module) -> tuple:
    """What decides a layer's anatomy: the classes of the layer and its parts."""
    return type(layer), *((name, type(part)) for name, part in layer.named_children())
