"""Variants of one layer before any gradient: the paper's rules, and least squares in closed form.

Shapes: B windows, T tokens, D hidden size, F channels, X experts.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.library import least_squares
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models import slices, variants
from tessera.puzzle.models.layer import Inner, Layer
from tessera.puzzle.models.space import FFN, Attention

#: Calls of a subblock of the parent, with what it returned (B, T, D), and the weight of each token (B, T), 0 of those
#: that do not count.
Batches = Iterable[tuple[Inner, Tensor, Tensor]]


@torch.no_grad()
def attention(layer: Layer, config: Any, variant: Attention, inner: Inner, groups: Tensor | None) -> nn.Module | None:
    """An attention variant by the paper's rules; None for no_op.

    Fewer KV heads: keys and values are the mean of each merged group, or the groups (kept,) alone. Linear: W_O W_V,
    what attention is if each token sees itself alone (biases, which a linear variant has not, are left out); inner is
    any call of the parent's attention.
    """
    if variant.kind == "no_op":
        return None
    parent, part = layer.subblock("attention"), variants.part(layer, config, variant)
    child = variants.build(layer, config, part, "attention")
    if variant.kind == "linear":
        state = {"linear.weight": _alone(parent, inner)}
    else:
        kept = variant.kv_heads or config.num_key_value_heads
        sizes = (config.num_attention_heads, config.num_key_value_heads, kept, variants.head_dim(config))
        state = slices.heads(parent.state_dict(), child.state_dict(), *sizes, groups)
    return _with(child, state, parent)


@torch.no_grad()
def ffn(
    layer: Layer, config: Any, variant: FFN, kept: Tensor | None = None, experts: Tensor | None = None
) -> nn.Module | None:
    """An FFN variant by the paper's rules; None for no_op.

    Narrower: the kept channels (F',) alone, in a mixture (X, F') of each expert. Fewer experts: experts (X',) alone.
    Linear: W_down W_up, the gate ignored, where the FFN has maps of these names, else 0.
    """
    if variant.kind == "no_op":
        return None
    parent, part = layer.subblock("ffn"), variants.part(layer, config, variant)
    child = variants.build(layer, config, part, "ffn")
    if variant.kind == "linear":
        state = {"linear.weight": _product(parent.state_dict(), config.hidden_size)}
    elif variants.is_mixture(layer):
        every = torch.arange(variants.expert_count(layer), device=next(parent.parameters()).device)
        alternate = kept is not None and variants.interleaved(layer, config)
        chosen = every if experts is None else experts.to(every.device)
        state = slices.experts(parent.state_dict(), child.state_dict(), chosen, kept, alternate)
    elif "config" not in part:
        state = parent.state_dict()
    elif kept is None:
        raise ValueError("a narrower FFN needs the channels that it keeps")
    else:
        state = variants.narrowed(layer, config, child, kept, variants.interleaved(layer, config))
    return _with(child, state, parent)


def _with(child: nn.Module, state: dict[str, Tensor], like: nn.Module) -> nn.Module:
    weight = next(like.parameters())
    child.load_state_dict({k: v.to(weight) for k, v in state.items()}, assign=True)
    return child.requires_grad_(False)


def _alone(attention: nn.Module, inner: Inner) -> Tensor:
    """The linear part (D, D) of what an attention returns to a token that sees itself alone."""
    size = inner.input.shape[-1]
    tokens = torch.cat((torch.zeros_like(inner.input[:1, :1]), torch.eye(size).to(inner.input)[:, None]))
    first = {key: _first(value) for key, value in inner.kwargs.items()} | {"attention_mask": None}
    single = Inner((), first | {"hidden_states": tokens, "past_key_values": None})
    out = single.of(attention)[:, 0]
    return (out[1:] - out[0]).T.contiguous()


def _first(value: Any) -> Any:
    """The part of an argument that is of the first token: positions (B, T), rotary embeddings (B, T, E)."""
    if isinstance(value, tuple):
        return tuple(map(_first, value))
    return value[:1, :1] if isinstance(value, Tensor) and value.ndim in (2, 3) else value


def _product(state: dict[str, Tensor], hidden_size: int) -> Tensor:
    down, up = state.get("down_proj.weight"), state.get("up_proj.weight")
    if down is None or up is None or down.ndim != 2:
        return torch.zeros(hidden_size, hidden_size)
    return down @ up


@torch.no_grad()
def moments(child: nn.Module, name: str, batches: Batches) -> Moments:
    """Moments of the inputs of child's linear map `name`, and of the parent's output less the map's bias."""
    linear = child.get_submodule(name)
    moments: Moments | None = None
    for inner, output, w in batches:
        bias = getattr(linear, "bias", None)
        y = (output if bias is None else output - bias).flatten(0, -2)
        f = inner.features(child, name).flatten(0, -2)
        moments = moments or Moments.empty(f.shape[1], y.shape[1], f.device)
        moments.add(f, y, w.flatten())
    if moments is None:
        raise ValueError("no calibration text: calibration.tokens holds no whole window")
    return moments


@torch.no_grad()
def fit(linear: nn.Linear, m: Moments, ridge: float, around: Tensor | None = None) -> None:
    """Set linear's weight to the least-squares map of the moments' features to their targets.

    The ridge draws it towards `around` (features, outputs), or 0.
    """
    linear.weight.copy_(least_squares.solve(m.G, m.C, ridge, around).T)


@torch.no_grad()
def channel_moments(subblock: nn.Module, name: str, batches: Batches) -> Moments:
    """Moments of the inputs of the last linear map of a parent's subblock and of its output, less the map's bias.

    Those of an FFN are its channels, from which every width is fitted.
    """
    linear = subblock.get_submodule(name)
    m: Moments | None = None
    for inner, _, w in batches:
        h = inner.features(subblock, name).flatten(0, -2)
        m = m or Moments.empty(h.shape[1], 0, h.device)
        m.add(h, h[:, :0], w.flatten())
    if m is None:
        raise ValueError("no calibration text: calibration.tokens holds no whole window")
    # The target is the channels through the parent's own map, so C needs no pass of its own.
    W = linear.weight.T.double()
    return Moments(m.G, m.G @ W, float((W * (m.G @ W)).sum()))


def kept_channels(linear: nn.Linear, m: Moments, widths: list[int], selection: str, ridge: float) -> dict[int, Tensor]:
    """Sorted indices of the channels that each width keeps; selection is `contribution` or `reconstruction`."""
    W = linear.weight.detach().T.double()
    if selection == "reconstruction":
        return least_squares.eliminate(m.G, W, ridge, widths)
    order = least_squares.contribution(m.G.diagonal(), W).argsort(descending=True, stable=True)
    return {width: order[:width].sort().values for width in widths}


@torch.no_grad()
def kept_groups(linear: nn.Linear, m: Moments, kv_heads: int, kept: int) -> Tensor:
    """Sorted indices (kept,) of the KV heads whose query heads contribute most to the attention's output."""
    W = linear.weight.detach().T.double()
    share = least_squares.contribution(m.G.diagonal(), W).view(kv_heads, -1).sum(1)
    return share.argsort(descending=True, stable=True)[:kept].sort().values


@torch.no_grad()
def expert_saliency(ffn: nn.Module, batches: Batches) -> Tensor:
    """Sum (X,) over tokens of the squared norm of what each expert adds to the output, as the router weighs it.

    An expert that the router seldom chooses, or that says little when it is chosen, has little. Tokens of weight 0 do
    not count. Raises ValueError if the mixture does not call its experts with (hidden states, indices, weights).
    """
    experts = mixture_of(ffn)
    calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def keep(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        calls.append(tuple(args) + tuple(kwargs.values()))  # type: ignore[arg-type]

    saliency = torch.zeros(len(next(experts.parameters())), dtype=torch.float64)
    handle = experts.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        for inner, _, w in batches:
            calls.clear()
            inner.of(ffn)
            if len(calls) != 1 or len(calls[0]) != 3 or calls[0][1].is_floating_point():
                raise ValueError(f"{type(experts).__name__} is not called with hidden states, indices and weights")
            x, index, weights = calls[0]
            for column in range(index.shape[1]):
                one = index[:, column : column + 1]
                out = experts(x, one, weights[:, column : column + 1])
                added = out.double().square().sum(-1) * (w.flatten() > 0)
                saliency.index_add_(0, one[:, 0].cpu(), added.cpu())
    finally:
        handle.remove()
    return saliency


def kept_experts(saliency: Tensor, part: dict[str, Any], config: Any) -> Tensor:
    """Sorted indices of the experts of most saliency (X,), as many as the PART of a variant has."""
    count = part.get("config", {}).get(variants.key_of(config, variants.EXPERTS, "experts"), len(saliency))
    return saliency.argsort(descending=True, stable=True)[:count].sort().values


def mixture_of(ffn: nn.Module) -> nn.Module:
    """The part of an FFN that holds the experts' weights, (X, ..., ...). Raises ValueError if there is none."""
    for module in ffn.modules():
        if any(p.ndim == 3 for p in module.parameters(recurse=False)):
            return module
    raise ValueError(f"{type(ffn).__name__} holds no experts")


@torch.no_grad()
def expert_channels(ffn: nn.Module, count: int, kept: int, interleaved: bool) -> Tensor:
    """Sorted channels (X, kept) of each expert that are largest by the norms of the weights before and behind them."""
    size = torch.ones(1, 1, dtype=torch.float64)
    for w in mixture_of(ffn).parameters(recurse=False):
        if w.ndim != 3:
            continue
        for dim in (1, 2):
            if w.shape[dim] == count:
                size = size * w.double().square().sum(3 - dim)
                break
            if w.shape[dim] == 2 * count:
                both = w.double().square().sum(3 - dim)
                gate, up = (both[:, ::2], both[:, 1::2]) if interleaved else both.chunk(2, 1)
                size = size * gate * up
                break
    return size.argsort(dim=1, descending=True, stable=True)[:, :kept].sort(1).values
