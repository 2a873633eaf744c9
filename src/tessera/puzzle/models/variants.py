"""Variants of a parent's subblocks, for every family: what they are, and their weights by the paper's rules.

A variant is the parent's own class with other sizes, a linear map, or nothing; `modeling_child` says how each is
written down. Weights of fewer KV heads, channels or experts are slices and means of the parent's, found by the shapes
in which the two modules differ, so no family needs code of its own.

Shapes: D hidden size, H query heads, K KV heads, E head size, F channels, X experts.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.models import modeling_child, slices
from tessera.puzzle.models.anatomy import tensor
from tessera.puzzle.models.layer import Layer
from tessera.puzzle.models.space import FFN, Attention

#: Configuration keys, in the order in which they are looked for, of a mixture's experts and of those that see a token.
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
ACTIVE = ("num_experts_per_tok", "moe_k", "moe_topk", "top_k")
#: Configuration keys of an FFN's channels: those of an expert first.
WIDTHS = ("moe_intermediate_size", "intermediate_size")


def key_of(config: Any, names: Sequence[str], what: str) -> str:
    """The first of these keys that a configuration has. Raises ValueError, saying of what, if it has none."""
    for name in names:
        if isinstance(getattr(config, name, None), int):
            return name
    raise ValueError(f"model_type {config.model_type!r} has no {what}; looked for {', '.join(names)}")


def is_mixture(layer: Layer) -> bool:
    """Whether a layer's FFN is a mixture of experts, their weights being three-dimensional."""
    return any(p.ndim == 3 for p in layer.subblock("ffn").parameters())


def expert_count(layer: Layer) -> int:
    """Experts of a layer that is a mixture."""
    return next(len(p) for p in layer.subblock("ffn").parameters() if p.ndim == 3)


def width_key(layer: Layer, config: Any) -> str:
    """Configuration key of the channels of a layer's FFN. Raises ValueError if the family has none."""
    return key_of(config, WIDTHS if is_mixture(layer) else WIDTHS[1:], "FFN channels")


def channel_count(layer: Layer, config: Any) -> int:
    """Channels of a layer's FFN, of each expert in a mixture."""
    return getattr(config, width_key(layer, config))


def head_dim(config: Any) -> int:
    """Size of an attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def part(layer: Layer, config: Any, variant: Attention | FFN) -> dict[str, Any]:
    """The PART of `modeling_child` that describes a variant of a layer.

    Raises ValueError if the family has no such variant.
    """
    subblock = "attention" if isinstance(variant, Attention) else "ffn"
    anatomy = layer.anatomy[subblock]
    if variant.kind == "no_op":
        return {"kind": "no_op", "returns": anatomy.returns, "drops": list(anatomy.norms)}
    if variant.kind == "linear":
        return {"kind": "linear", "returns": anatomy.returns}
    changes = _attention(config, variant) if isinstance(variant, Attention) else _ffn(layer, config, variant)
    described: dict[str, Any] = {"config": changes} if changes else {}
    if isinstance(variant, Attention) and variant.window:
        described["window"] = variant.window
    return {"kind": "own", **described}


def _attention(config: Any, variant: Attention) -> dict[str, int]:
    kv_heads = variant.kv_heads
    heads = key_of(config, ("num_key_value_heads",), "KV heads")
    parent = getattr(config, heads)
    if kv_heads is None or kv_heads == parent:
        return {}
    variant.check_heads(parent)
    changes = {heads: kv_heads}
    if variant.reduction == "drop":
        changes["num_attention_heads"] = config.num_attention_heads // parent * kv_heads
        changes["head_dim"] = head_dim(config)
    return changes


def _ffn(layer: Layer, config: Any, variant: FFN) -> dict[str, int]:
    changes = {}
    if variant.width < 1:
        width = width_key(layer, config)
        changes[width] = max(1, round(variant.width * getattr(config, width)))
    if variant.experts < 1 or variant.active is not None:
        if not is_mixture(layer):
            raise ValueError("experts and active are for mixtures of experts; this layer's FFN is none")
        experts, active = key_of(config, EXPERTS, "experts"), key_of(config, ACTIVE, "active experts")
        count, chosen = getattr(config, experts), variant.active or getattr(config, active)
        kept = max(chosen, round(variant.experts * count))
        if chosen > getattr(config, active):
            raise ValueError(f"active is {chosen}; the parent has {getattr(config, active)} active experts")
        changes |= {experts: kept} if kept < count else {}
        changes |= {active: chosen} if chosen < getattr(config, active) else {}
    return changes


def build(layer: Layer, config: Any, described: dict[str, Any], subblock: str) -> nn.Module:
    """The module that a PART describes, on the meta device, without weights."""
    with torch.device("meta"):
        module = modeling_child.build(layer.module, subblock, layer.index, config, described)
    return module.requires_grad_(False).eval()


#: Whether gate and up are interleaved, by class of the FFN.
_INTERLEAVED: dict[type, bool] = {}


@torch.no_grad()
def interleaved(layer: Layer, config: Any) -> bool:
    """Whether the FFN's gate and up channels alternate in one map, rather than follow each other or have two maps.

    Found by cutting channels both ways and comparing with the parent's FFN, in which these channels add nothing. Raises
    ValueError if neither way gives the same: then channels cannot be dropped one by one.
    """
    parent = layer.subblock("ffn")
    if type(parent) not in _INTERLEAVED:
        count = channel_count(layer, config)
        silenced = copy.deepcopy(parent)
        behind = _behind_channels(layer, silenced, count)
        behind.index_fill_(behind.ndim - 1 if behind.shape[-1] == count else 1, _odd(count, behind), 0.0)
        weight = next(parent.parameters())
        x = torch.linspace(-1, 1, 4 * config.hidden_size, dtype=torch.float64).mul(40).sin().to(weight)
        x = x.view(1, 4, config.hidden_size)
        expected = tensor(silenced(x))
        kept = torch.arange(0, count, 2, device=weight.device)
        described = part(layer, config, FFN(kind="gated", width=len(kept) / count))
        for alternate in (False, True):
            child = build(layer, config, described, "ffn")
            child.load_state_dict(narrowed(layer, config, child, kept, alternate), assign=True)
            if torch.allclose(tensor(child(x)), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())):
                _INTERLEAVED[type(parent)] = alternate
                break
        else:
            raise ValueError(f"{type(parent).__name__}: channels cannot be dropped one by one")
    return _INTERLEAVED[type(parent)]


def narrowed(layer: Layer, config: Any, child: nn.Module, kept: Tensor, alternate: bool) -> dict[str, Tensor]:
    """State of an FFN that keeps the channels kept, (F',) or of each expert (X, F')."""
    parent = layer.subblock("ffn").state_dict()
    if not is_mixture(layer):
        return slices.channels(parent, child.state_dict(), channel_count(layer, config), kept, alternate)
    every = torch.arange(expert_count(layer), device=kept.device)
    kept = kept if kept.ndim == 2 else kept.expand(len(every), -1)
    return slices.experts(parent, child.state_dict(), every, kept, alternate)


def _behind_channels(layer: Layer, ffn: nn.Module, count: int) -> Tensor:
    """The weight that the channels of an FFN, a copy of the layer's, are multiplied with."""
    if not is_mixture(layer):
        last = layer.anatomy["ffn"].last
        if last is None or ffn.get_submodule(last).weight.shape[1] != count:
            raise ValueError(f"{type(ffn).__name__} does not end with a linear map of its {count} channels")
        return ffn.get_submodule(last).weight
    behind = [p for p in ffn.parameters() if p.ndim == 3 and count in p.shape[1:]]
    if not behind:
        raise ValueError(f"{type(ffn).__name__} has no weights of {count} channels")
    return behind[-1]


def _odd(count: int, like: Tensor) -> Tensor:
    return torch.arange(1, count, 2, device=like.device)
