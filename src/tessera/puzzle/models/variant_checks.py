"""Kinds of variants, made of a layer of a parent and checked where their weights should be exact.

No family is named here: a kind fails where its weights do not follow from the parent's by the rules of `slices`.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tessera.puzzle.models import slices, variants
from tessera.puzzle.models.anatomy import tensor
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Inner, Layer
from tessera.puzzle.models.space import FFN, Attention

#: Tokens that a window shows in its check.
WINDOW = 3


def expect(value: Tensor, expected: Tensor, otherwise: str) -> None:
    """Raise ValueError with the message otherwise, if a tensor is not the expected one to rounding."""
    tolerance = 1e-3 if expected.dtype == torch.float32 else 0.1
    if not torch.allclose(value, expected, rtol=0, atol=tolerance * float(expected.abs().max())):
        raise ValueError(otherwise)


def _with(child: nn.Module, state: dict[str, Tensor], like: nn.Module) -> nn.Module:
    child.load_state_dict({n: value.to(next(like.parameters())) for n, value in state.items()}, assign=True)
    return child


def _linear(model: LanguageModel, layer: Layer, variant: Attention | FFN) -> nn.Module:
    place = "attention" if isinstance(variant, Attention) else "ffn"
    described = variants.part(layer, model.config, variant)
    return _with(
        variants.build(layer, model.config, described, place),
        {"linear.weight": 0.1 * torch.eye(model.hidden_size)},
        layer.subblock(place),
    )


def _heads(model: LanguageModel, reduction: str) -> tuple[Attention, int, int]:
    """A variant with fewer KV heads, the parent's number of them, and the variant's."""
    kv_heads = getattr(model.config, variants.key_of(model.config, ("num_key_value_heads",), "KV heads"))
    fewer = [kept for kept in range(1, kv_heads) if kv_heads % kept == 0]
    if not fewer:
        raise ValueError(f"it has {kv_heads} KV head")
    return Attention(kind="gqa", kv_heads=fewer[-1], reduction=reduction), kv_heads, fewer[-1]  # type: ignore[arg-type]


def _reduced(model: LanguageModel, layer: Layer, reduction: str) -> tuple[nn.Module, Tensor]:
    """An attention with fewer KV heads, and those of the parent's that are kept if the others are dropped."""
    variant, kv_heads, kept = _heads(model, reduction)
    parent, config = layer.subblock("attention"), model.config
    child = variants.build(layer, config, variants.part(layer, config, variant), "attention")
    if {n: w.shape for n, w in child.state_dict().items()} == {n: w.shape for n, w in parent.state_dict().items()}:
        raise ValueError(f"fewer KV heads leave the weights of {type(parent).__name__} as they are")
    groups = torch.arange(kv_heads)[:: kv_heads // kept]
    sizes = (config.num_attention_heads, kv_heads, kept, variants.head_dim(config))
    dropped = groups if reduction == "drop" else None
    return _with(child, slices.heads(parent.state_dict(), child.state_dict(), *sizes, dropped), parent), groups


def _merged(model: LanguageModel, layer: Layer, inner: Inner) -> nn.Module:
    """Merge groups of KV heads; exact if the heads of a group are equal."""
    child, _ = _reduced(model, layer, "merge")
    parent = copy.deepcopy(layer.subblock("attention"))
    _, kv_heads, kept = _heads(model, "merge")
    queries = model.config.num_attention_heads * variants.head_dim(model.config)

    def repeated(w: Tensor, size: int) -> Tensor:
        if len(w) * kv_heads == size * kept:
            return w.unflatten(0, (kept, -1)).repeat_interleave(kv_heads // kept, 0).flatten(0, 1)
        keys, values = w[queries:].chunk(2)  # query, key and value in one map
        return torch.cat([w[:queries], *(repeated(part, (size - queries) // 2) for part in (keys, values))])

    own = parent.state_dict()
    state = {n: repeated(w, len(own[n])) if w.shape != own[n].shape else w for n, w in child.state_dict().items()}
    parent.load_state_dict(state)
    expect(inner.of(child), inner.of(parent), "merging equal KV heads changes what attention returns")
    return child


def _dropped(model: LanguageModel, layer: Layer, inner: Inner) -> nn.Module:
    """Drop KV heads with their query heads; exact if what these add to the output is taken away."""
    child, groups = _reduced(model, layer, "drop")
    last = layer.anatomy["attention"].last
    if last is None:
        raise ValueError("attention does not end with a linear map of its heads")
    parent = copy.deepcopy(layer.subblock("attention"))
    weight, (_, kv_heads, _) = parent.get_submodule(last).weight, _heads(model, "drop")
    silent = torch.ones(kv_heads, dtype=torch.bool)
    silent[groups] = False
    weight.unflatten(1, (kv_heads, -1))[:, silent.to(weight.device)] = 0
    expect(inner.of(child), inner.of(parent), "attention is not the sum of what its groups of heads add by themselves")
    return child


def _window(model: LanguageModel, layer: Layer, inner: Inner) -> nn.Module:
    """A window is what a mask makes of the parent's attention."""
    parent, config = layer.subblock("attention"), model.config
    described = variants.part(layer, config, Attention(kind="gqa", window=WINDOW))
    child = _with(variants.build(layer, config, described, "attention"), parent.state_dict(), parent)
    tokens = inner.input.shape[1]
    band = torch.ones(tokens, tokens, dtype=torch.bool, device=inner.input.device).tril()
    band = (band & ~band.tril(-WINDOW))[None, None]
    mask = inner.kwargs.get("attention_mask")
    if mask is None or mask.dtype == torch.bool:
        mask = band if mask is None else mask & band
    else:
        mask = mask.masked_fill(~band, torch.finfo(mask.dtype).min)
    masked = tensor(parent(*inner.args, **inner.kwargs | {"attention_mask": mask}))
    expect(inner.of(child), masked, "a window is not what a mask makes of attention")
    if torch.equal(masked, inner.of(parent)):
        raise ValueError("attention does not heed its mask")
    return child


def _narrower(model: LanguageModel, layer: Layer, _: Inner) -> nn.Module:
    """Keep half of the channels; exact if the others add nothing."""
    config, count = model.config, variants.channel_count(layer, model.config)
    alternate = variants.interleaved(layer, config)
    kept = torch.arange(0, count, 2, device=model.device)
    described = variants.part(layer, config, FFN(kind="gated", width=len(kept) / count))
    child = variants.build(layer, config, described, "ffn")
    return _with(child, variants.narrowed(layer, config, child, kept, alternate), layer.subblock("ffn"))


def _fewer_experts(model: LanguageModel, layer: Layer, inner: Inner) -> nn.Module:
    """Keep half of the experts; their weights are cut out rightly if they can be put in another order."""
    described = variants.part(layer, model.config, FFN(kind="gated", experts=0.5))
    parent, count = layer.subblock("ffn"), variants.expert_count(layer)
    if "config" not in described:
        raise ValueError("all experts are active")
    state, kept = parent.state_dict(), next(iter(described["config"].values()))
    turned = copy.deepcopy(parent)
    turned.load_state_dict(slices.experts(state, state, torch.arange(count).flip(0), None, False))
    expect(inner.of(turned), inner.of(parent), "what a mixture returns depends on the order of its experts")
    child = variants.build(layer, model.config, described, "ffn")
    return _with(child, slices.experts(state, child.state_dict(), torch.arange(kept), None, False), parent)


def _fewer_active(model: LanguageModel, layer: Layer, inner: Inner) -> nn.Module:
    """Send each token to one expert."""
    described = variants.part(layer, model.config, FFN(kind="gated", active=1))
    parent = layer.subblock("ffn")
    child = _with(variants.build(layer, model.config, described, "ffn"), parent.state_dict(), parent)
    if "config" in described and torch.equal(inner.of(child), inner.of(parent)):
        raise ValueError("what a mixture returns does not depend on the number of its active experts")
    return child


#: What makes the module of each kind in a layer, given a call of its subblock; ValueError says why there is none.
CHECKS: dict[str, Callable[[LanguageModel, Layer, Inner], nn.Module | None]] = {
    "merged KV heads": _merged,
    "dropped KV heads": _dropped,
    "window": _window,
    "linear attention": lambda model, layer, _: _linear(model, layer, Attention(kind="linear")),
    "no-op attention": lambda *_: None,
    "narrower FFN": _narrower,
    "fewer experts": _fewer_experts,
    "fewer active experts": _fewer_active,
    "linear FFN": lambda model, layer, _: _linear(model, layer, FFN(kind="linear")),
    "no-op FFN": lambda *_: None,
}
