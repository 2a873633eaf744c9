"""Variants of one layer before any gradient: the paper's rules, and least squares in closed form."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tessera.puzzle.library import least_squares
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models.model import (
    Attention,
    AttentionSpec,
    FFNSpec,
    GatedFFN,
    LinearAttention,
    LinearFFN,
    ModelSpec,
    build_attention,
    build_ffn,
)

#: Batches of a subblock's input after its norm and its output, (..., D) each, and the weight of each token, (...).
Batches = Iterable[tuple[Tensor, Tensor, Tensor]]


def pool_heads(weight: Tensor, num_kv_heads: int, head_dim: int) -> Tensor:
    """Mean of each group of KV heads: weight (K E, ...) -> (num_kv_heads E, ...)."""
    heads = weight.view(num_kv_heads, -1, head_dim, *weight.shape[1:])
    return heads.mean(1).reshape(num_kv_heads * head_dim, *weight.shape[1:])


@torch.no_grad()
def attention(spec: ModelSpec, parent: Attention, variant: AttentionSpec) -> nn.Module | None:
    """An attention variant by the paper's rules; None for no_op.

    Fewer KV heads: keys and values are the mean of each merged group. Linear: W_O repeat(W_V), each token seeing itself
    alone (biases, which a linear variant has not, are left out).
    """
    child = build_attention(spec, variant)
    if isinstance(child, Attention):
        state = parent.state_dict()
        for name in state:
            if name.startswith(("k_proj", "v_proj")):
                state[name] = pool_heads(state[name], child.num_kv_heads, child.head_dim)
        child.load_state_dict(state)
    elif isinstance(child, LinearAttention):
        group = parent.num_heads // parent.num_kv_heads
        values = parent.v_proj.weight.view(parent.num_kv_heads, parent.head_dim, -1)
        values = values.repeat_interleave(group, 0).flatten(0, 1)  # (H E, D)
        child.linear_attn.weight.copy_(parent.o_proj.weight @ values)
    return child


@torch.no_grad()
def ffn(spec: ModelSpec, parent: GatedFFN, variant: FFNSpec, kept: Tensor | None) -> nn.Module | None:
    """An FFN variant by the paper's rules; None for no_op.

    Narrower: the kept channels (F',) alone. Linear: W_down W_up, the gate ignored.
    """
    child = build_ffn(spec, variant)
    if isinstance(child, GatedFFN):
        if kept is None:
            raise ValueError("a narrower FFN needs the channels that it keeps")
        state = parent.state_dict()
        for name in state:
            if name.startswith(("gate_proj", "up_proj")):
                state[name] = state[name][kept]
            elif name == "down_proj.weight":
                state[name] = state[name][:, kept]
        child.load_state_dict(state)
    elif isinstance(child, LinearFFN):
        child.linear_mlp.weight.copy_(parent.down_proj.weight @ parent.up_proj.weight)
    return child


def moments(features: Callable[[Tensor], Tensor], bias: Tensor | None, batches: Batches) -> Moments:
    """Moments of features of the subblock's input and of its output less bias, which the child keeps."""
    moments: Moments | None = None
    for x, y, w in batches:
        f, y = features(x).flatten(0, -2), (y if bias is None else y - bias).flatten(0, -2)
        moments = moments or Moments.empty(f.shape[1], y.shape[1])
        moments.add(f, y, w.flatten())
    if moments is None:
        raise ValueError("no calibration text: calibration.tokens holds no whole window")
    return moments


@torch.no_grad()
def fit(linear: nn.Linear, m: Moments, ridge: float, around: Tensor | None = None) -> None:
    """Set linear's weight to the least-squares map of the moments' features to their targets.

    The ridge draws it towards `around`, of the weight's shape, or 0.
    """
    around = None if around is None else around.T.double()
    linear.weight.copy_(least_squares.solve(m.G, m.C, ridge, around).T)


def last_map(child: nn.Module, rotary: tuple[Tensor, Tensor]) -> tuple[Callable[[Tensor], Tensor], nn.Linear]:
    """What a subblock variant ends with: a linear map, and the features of the subblock's input that it is applied to.

    Raises TypeError on other modules.
    """
    if isinstance(child, Attention):
        return (lambda x: child.heads(x, rotary)), child.o_proj
    if isinstance(child, GatedFFN):
        return child.channels, child.down_proj
    if isinstance(child, LinearAttention):
        return (lambda x: x), child.linear_attn
    if isinstance(child, LinearFFN):
        return (lambda x: x), child.linear_mlp
    raise TypeError(f"no subblock variant: {type(child).__name__}")


@torch.no_grad()
def fit_attention(child: nn.Module, rotary: tuple[Tensor, Tensor], batches: Batches, ridge: float) -> None:
    """Fit an attention variant's last linear map to the parent's attention output."""
    features, linear = last_map(child, rotary)
    fit(linear, moments(features, linear.bias, batches), ridge)


@torch.no_grad()
def channel_moments(parent: GatedFFN, batches: Batches) -> Moments:
    """Moments of the parent's channels and of its FFN output, from which every width is fitted."""
    moments = Moments.empty(parent.down_proj.in_features, 0)
    for x, _, w in batches:
        h = parent.channels(x).flatten(0, -2)
        moments.add(h, h[:, :0], w.flatten())
    # The target is the channels through the parent's own map, so C needs no pass of its own.
    W = parent.down_proj.weight.T.double()
    return Moments(moments.G, moments.G @ W, float((W * (moments.G @ W)).sum()))


def kept_channels(parent: GatedFFN, m: Moments, widths: list[int], selection: str, ridge: float) -> dict[int, Tensor]:
    """Sorted indices of the channels that each width keeps; selection is `contribution` or `reconstruction`."""
    W = parent.down_proj.weight.detach().T.double()
    if selection == "reconstruction":
        return least_squares.eliminate(m.G, W, ridge, widths)
    order = least_squares.contribution(m.G.diagonal(), W).argsort(descending=True, stable=True)
    return {width: order[:width].sort().values for width in widths}


@torch.no_grad()
def fit_ffn(child: nn.Module, m: Moments | None, kept: Tensor | None, batches: Batches, ridge: float) -> None:
    """Fit an FFN variant's last linear map to the parent's FFN output.

    m (the parent's channel moments) and kept (the channels that the child has of it) are for gated variants.
    """
    if isinstance(child, GatedFFN):
        if m is None or kept is None:
            raise ValueError("a narrower FFN needs the channels that it keeps and their moments")
        fit(child.down_proj, Moments(m.G[kept][:, kept], m.C[kept]), ridge)
    elif isinstance(child, LinearFFN):
        fit(child.linear_mlp, moments(lambda x: x, None, batches), ridge)
