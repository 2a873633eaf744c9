"""A causal language model of transformers, taken apart where Puzzle needs it: at its residual stream.

Nothing here knows a family. How a decoder calls its layers is recorded by a forward pass in which the layers compute
nothing; `layer` cuts each of them. That the parts give the whole again, bit for bit, is what `admission` tests of every
parent.

Shapes: B batch, T new tokens, S all tokens so far, D hidden size, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.models.anatomy import IDENTITY, Anatomy, anatomy, put
from tessera.puzzle.models.layer import Calls, Layer, Recorder, kind_of

#: Names of the list of layers in transformers' decoders.
LAYERS = ("layers", "h", "blocks")
#: Names of the norm behind the last layer in transformers' decoders.
FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "embedding_norm")


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
            # Its own place, if layers are spread over devices.
            weight = next(p for p in (*module.parameters(), *self.network.parameters()) if not p.is_meta)
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
        recorders = [Recorder(module, _unchanged) for module in layers_of(decoder)]
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
