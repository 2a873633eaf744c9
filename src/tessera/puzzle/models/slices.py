"""Weights of a smaller subblock as slices and means of the parent's, by the shapes in which the two differ."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def heads(
    parent: Mapping[str, Tensor],
    child: Mapping[str, Tensor],
    query_heads: int,
    kv_heads: int,
    kept: int,
    head_dim: int,
    groups: Tensor | None,
) -> dict[str, Tensor]:
    """State of an attention with `kept` KV heads: means of as many equal groups of the parent's.

    With groups (kept,), those of the parent's KV heads stay, with their query heads, and the others are dropped.
    Raises ValueError if the shapes do not follow from the numbers of heads.
    """
    per_group = query_heads // kv_heads

    def keys(w: Tensor, unit: int) -> Tensor:
        by_head = w.unflatten(0, (kv_heads, unit))
        return (by_head[groups] if groups is not None else by_head.unflatten(0, (kept, -1)).mean(1)).flatten(0, 1)

    def queries(w: Tensor, unit: int) -> Tensor:
        return w.unflatten(0, (kv_heads, per_group * unit))[groups].flatten(0, 1)

    def reduced(w: Tensor, size: int, name: str) -> Tensor:
        """w with its first dimension reduced to `size`."""
        n, q, kv = len(w), query_heads, kv_heads
        for unit in (head_dim, 1):
            if n == kv * unit and size == kept * unit:
                return keys(w, unit)
            if groups is not None and n == q * unit and size == kept * per_group * unit:
                return queries(w, unit)
        if n == (q + 2 * kv) * head_dim:  # query, key and value in one map
            query, key, value = w.split([q * head_dim, kv * head_dim, kv * head_dim])
            query = query if groups is None else queries(query, head_dim)
            return torch.cat([query, keys(key, head_dim), keys(value, head_dim)])
        raise ValueError(f"{name}: {n} is reduced to {size}, which {q} query and {kv} KV heads do not explain")

    return {name: _along(parent[name], value.shape, name, reduced) for name, value in child.items()}


def channels(
    parent: Mapping[str, Tensor], child: Mapping[str, Tensor], count: int, kept: Tensor, interleaved: bool = False
) -> dict[str, Tensor]:
    """State of an FFN that keeps some, kept (F',), of its `count` channels.

    Maps of twice as many rows hold gate and up, one after the other or interleaved. Raises ValueError on other shapes.
    """
    both = torch.stack((2 * kept, 2 * kept + 1), 1).flatten() if interleaved else torch.cat((kept, kept + count))

    def reduced(w: Tensor, size: int, name: str) -> Tensor:
        for whole, index in ((count, kept), (2 * count, both)):
            if len(w) == whole and size == len(index):
                return w[index]
        raise ValueError(f"{name}: {len(w)} is reduced to {size}, which {count} channels do not explain")

    return {name: _along(parent[name], value.shape, name, reduced) for name, value in child.items()}


def experts(
    parent: Mapping[str, Tensor], child: Mapping[str, Tensor], kept: Tensor, channels: Tensor | None, interleaved: bool
) -> dict[str, Tensor]:
    """State of a mixture that keeps the experts kept (X',), and of each of all X experts the channels (X, F').

    Without channels, all of them. Raises ValueError if another part than the experts and their router would have to be
    cut, such as an FFN that every token sees.
    """
    count = max(len(w) for w in parent.values() if w.ndim == 3)
    state = {}
    for name, like in child.items():
        w = parent[name]
        for dim in range(w.ndim):
            if w.shape[dim] == count and like.shape[dim] == len(kept):
                w = w.index_select(dim, kept)
                break
        if w.shape != like.shape and len(w) == len(kept) and channels is not None:
            dim = next(d for d in range(1, w.ndim) if w.shape[d] != like.shape[d])
            index = channels[kept]
            if like.shape[dim] == 2 * index.shape[1]:
                index = (
                    torch.stack((2 * index, 2 * index + 1), 2).flatten(1)
                    if interleaved
                    else torch.cat((index, index + w.shape[dim] // 2), 1)
                )
            shape = [len(index), *[1] * (w.ndim - 1)]
            shape[dim] = index.shape[1]
            w = w.gather(dim, index.view(shape).expand([*w.shape[:dim], index.shape[1], *w.shape[dim + 1 :]]))
        if w.shape != like.shape:
            raise ValueError(f"{name}: {tuple(w.shape)} cannot be cut to {tuple(like.shape)} by experts and channels")
        state[name] = w.clone()
    return state


def _along(w: Tensor, shape: Sequence[int], name: str, reduced) -> Tensor:  # type: ignore[no-untyped-def]
    """A copy of w, reduced along every dimension in which its shape is not the one asked for."""
    for dim, size in enumerate(shape):
        if w.shape[dim] != size:
            w = reduced(w.movedim(dim, 0), size, name).movedim(0, dim)
    return w.clone().contiguous()
