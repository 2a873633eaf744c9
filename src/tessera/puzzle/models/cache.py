"""KV caches of transformers' models whose memory is reserved at once: transformers' own copy all at every token."""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.modeling_child import Exchange


class ReservedLayer(DynamicLayer):
    """Keys and values of one layer, (B, K, capacity, E) each, of which the first `length` tokens are stored."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.length = capacity, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            states.new_zeros(*states.shape[:2], self.capacity, states.shape[3]) for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values (B, K, T, E); return all so far. Raises ValueError beyond the capacity."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        start, self.length = self.length, self.length + key_states.shape[2]
        if self.length > self.capacity:
            raise ValueError(f"the KV cache holds {self.capacity} tokens; {self.length} were asked of it")
        self.keys[:, :, start : self.length] = key_states
        self.values[:, :, start : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_seq_length(self) -> int:
        return self.length

    def reset(self) -> None:
        super().reset()
        self.length = 0

    def crop(self, tokens_to_remove: int) -> None:
        self.length -= abs(tokens_to_remove)


def new_cache(config: Any, capacity: int) -> DynamicCache:
    """An empty cache of `capacity` tokens for a model; layers with windows keep transformers' own, which slide."""
    cache = DynamicCache(config=config)
    cache.layers = [ReservedLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


@torch.no_grad()
def cache_bytes(model: LanguageModel, batch: int, tokens: int) -> int:
    """Bytes that a cache holds after that many tokens in each sequence of a batch."""
    cache = new_cache(model.config, tokens)
    model.network(  # type: ignore[operator]
        input_ids=torch.zeros(1, tokens, dtype=torch.long, device=model.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    stored = [
        layer
        for layer, kept in zip(model.layers, cache.layers, strict=True)
        if kept.is_initialized and not isinstance(layer.subblock("attention"), Exchange)
    ]
    kept = [cache.layers[layer.index] for layer in stored]
    return batch * sum(layer.keys.nbytes + layer.values.nbytes for layer in kept)
