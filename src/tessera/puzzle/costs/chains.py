"""Chains of distinct copies of a variant, which are what `measured` times.

Weights are random, for time does not depend on them, and all chains have theirs in the same memory. A chain of
transformers' layers has nothing in the other subblock's place, and each layer its own KV cache. What the decoder gives
its layers is recorded once. The cost outside the layers is that of a model without layers, its head applied to the last
token of each sequence.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicCache

from tessera.puzzle.costs import operations
from tessera.puzzle.costs.tables import Row
from tessera.puzzle.models import variants
from tessera.puzzle.models.anatomy import tensor
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.cache import ReservedLayer, new_cache
from tessera.puzzle.models.decoder import decoder_of
from tessera.puzzle.models.modeling_child import exchange
from tessera.puzzle.models.space import FFN, Attention

#: Numbers of a block of a pool's memory, and those at whose multiples a weight begins.
BLOCK, ALIGNED = 2**24, 64

Run = Callable[[int], object]
Convert = Callable[[nn.Module], nn.Module]
#: Arguments of a layer besides the hidden states.
Call = tuple[tuple, dict[str, Any]]


class Pool:
    """Random weights for one chain after another: chains take turns, and each by itself overflows the cache.

    So the memory of a cost table is that of its largest chain, however many variants there are.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self.blocks: list[torch.Tensor] = []
        self.restart()

    def restart(self) -> None:
        """Begin with the first weights again, for another chain."""
        self.block, self.used = 0, 0

    def filled(self, module: nn.Module) -> Any:
        """The module with weights of the pool that no other module of the chain has, and vectors of ones."""
        for p in module.parameters():
            p.requires_grad_(False)
            if p.ndim > 1:
                p.data = self._take(p.numel()).view(p.shape)
            else:
                p.fill_(1)
        return module

    def _take(self, count: int) -> torch.Tensor:
        """The next `count` numbers, of a block that is made if there is none with as many left."""
        while self.block < len(self.blocks) and self.used + count > len(self.blocks[self.block]):
            self.block, self.used = self.block + 1, 0
        if self.block == len(self.blocks):
            made = torch.empty(max(BLOCK, count), dtype=self.dtype, device=self.device)
            self.blocks.append(made.normal_(0, 0.02))
        begin, self.used = self.used, self.used + -(-count // ALIGNED) * ALIGNED
        return self.blocks[self.block][begin : begin + count]


def chain(
    architecture: Architecture,
    row: Row,
    copies: int,
    steps: dict[str, operations.Pass],
    pool: Pool,
    convert: Convert,
) -> dict[str, Run]:
    """For each phase a function of n that runs one pass through n distinct copies, each layer with its KV cache.

    Chains of the same pool must take turns.
    """
    dtype, device = pool.dtype, pool.device
    outside = without_layers(architecture, dtype, device)
    pool.restart()
    if row.variant is None:
        models = [pool.filled(outside if i == 0 else copy.deepcopy(outside)) for i in range(copies)]
        return {phase: _through_models(models, step, device) for phase, step in steps.items()}
    layers = [convert(pool.filled(variant_layer(architecture, row, dtype, device))) for _ in range(copies)]
    runs = {}
    for phase, step in steps.items():
        caches = [_cache(architecture, row, step, dtype, device) for _ in layers]
        call = layer_call(architecture, row.layers[0], outside, step, caches[0])
        x = torch.randn(step.sequences, step.tokens, architecture.hidden_size, dtype=dtype, device=device)
        runs[phase] = through_layers(layers, caches, call, x)
    return runs


def without_layers(architecture: Architecture, dtype: torch.dtype, device: torch.device) -> Any:
    """transformers' model without layers: embedding, final norm and head, whose weights are not set."""
    network = copy.deepcopy(architecture.skeleton.network)
    decoder = decoder_of(network)
    decoder.layers = nn.ModuleList()
    network.config = decoder.config = copy.copy(network.config)
    decoder.config.__dict__["num_hidden_layers"] = 0
    network = network.to(dtype).to_empty(device=device)
    network.tie_weights()
    for name, module in decoder.named_children():
        # Rotary frequencies are no weights; they follow from the configuration.
        if not list(module.parameters()) and list(module.buffers()):
            setattr(decoder, name, type(module)(config=architecture.config).to(device))
    return network.requires_grad_(False)


def variant_layer(architecture: Architecture, row: Row, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A layer of the parent with a variant of one subblock, and nothing in the place of the other."""
    skeleton, index = architecture.skeleton, row.layers[0]
    whole = skeleton.layers[index]
    layer = copy.deepcopy(whole.module)
    assert row.variant is not None
    if part := variants.part(whole, architecture.config, row.variant):
        exchange(layer, row.subblock, variants.build(whole, architecture.config, part, row.subblock), part)
    other = "ffn" if row.subblock == "attention" else "attention"
    nothing = FFN(kind="no_op") if other == "ffn" else Attention(kind="no_op")
    part = variants.part(whole, architecture.config, nothing)
    exchange(layer, other, variants.build(whole, architecture.config, part, other), part)
    if computed := dict(layer.named_buffers()).keys() - layer.state_dict().keys():
        raise ValueError(f"{type(layer).__name__}: {min(computed)} is not known without weights: not measured")
    layer = layer.to(dtype).to_empty(device=device)
    for buffer in layer.buffers():  # such as a router's biases, which are in a checkpoint as weights are
        buffer.zero_()
    return layer


def layer_call(
    architecture: Architecture, layer: int, outside: Any, step: operations.Pass, cache: Cache | None
) -> Call:
    """How the decoder calls a layer in a pass, recorded on a model of one such layer that computes nothing.

    Masks are as wide as what the cache stores, the last tokens alone in a layer with a window.
    """
    decoder, calls = decoder_of(outside), []

    class Recorder(nn.Module):
        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(architecture.skeleton.layers[layer].module, name)

        def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            calls.append((args, kwargs))
            return x

    decoder.layers = nn.ModuleList([Recorder()])
    types = getattr(decoder.config, "layer_types", None)
    changes = {"num_hidden_layers": 1} | ({"layer_types": [types[layer]]} if types else {})
    before = {name: decoder.config.__dict__.get(name) for name in changes}
    decoder.config.__dict__.update(changes)
    try:
        device = outside.get_input_embeddings().weight.device
        tokens = torch.zeros(step.sequences, step.tokens, dtype=torch.long, device=device)
        positions = torch.arange(step.past, step.past + step.tokens, device=device)[None]
        decoder(input_ids=tokens, position_ids=positions, past_key_values=cache, use_cache=cache is not None)
    finally:
        decoder.config.__dict__.update(before)
        decoder.layers = nn.ModuleList()
    return calls[0]


def _through_models(models: list[Any], step: operations.Pass, device: torch.device) -> Run:
    """A run through the first n of models without layers, which only ask the cache for its length."""
    config = models[0].config
    tokens = torch.randint(config.vocab_size, (step.sequences, step.tokens), device=device)
    positions = torch.arange(step.past, step.past + step.tokens, device=device)[None]
    cache = DynamicCache(config=config)
    cache.layers = [ReservedLayer(step.past + step.tokens)]
    cache.layers[0].length = step.past  # what a layer would have stored

    def run(n: int) -> None:
        for model in models[:n]:
            model(
                input_ids=tokens,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )

    return run


def through_layers(layers: list[nn.Module], caches: list[Cache | None], call: Call, x: torch.Tensor) -> Run:
    """A run through the first n layers, each called as by the decoder, with its own cache as it was before the pass."""
    args, kwargs = call
    given = [kwargs | {"past_key_values": cache, "use_cache": cache is not None} for cache in caches]
    stored = [cache.layers[-1] if cache else None for cache in caches]
    before = [dict(vars(cache)) if cache else {} for cache in stored]

    def run(n: int) -> None:
        y = x
        for i in range(n):
            if stored[i] is not None:
                vars(stored[i]).update(before[i])
            y = tensor(layers[i](y, *args, **given[i]))

    return run


def _cache(
    architecture: Architecture, row: Row, step: operations.Pass, dtype: torch.dtype, device: torch.device
) -> Cache | None:
    """A cache of one layer before a pass, filled with values as a running model has them."""
    if not isinstance(row.variant, Attention):
        return None
    index, context = row.layers[0], step.past + step.tokens
    cache = new_cache(architecture.config, context)
    layer = cache.layers[index]
    cache.layers = [layer] * (index + 1)  # the layer finds its own by its number
    keys = values = torch.ones(step.sequences, 1, step.past, 1, dtype=dtype, device=device)
    if row.variant.kind == "gqa":
        module = architecture.skeleton.part(index, row.variant)
        assert module is not None
        heads, *sizes = operations.stored(architecture, module)
        shape = (step.sequences, heads, step.past)
        keys, values = (torch.randn(*shape, size, dtype=dtype, device=device) for size in sizes)
    layer.update(keys, values)
    return cache
