"""Which models can be parents, and which variants they can have: by tests of the network itself, on a few tokens.

No family is named here. A parent is admitted if its layers, run one by one and cut between attention and FFN, give its
logits bit for bit. A kind of variant is admitted if its weights follow from the parent's by rules that are exact where
they should be, and if the network with it gives the same logits with and without a cache and with padding.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tessera.puzzle.models import slices, variants
from tessera.puzzle.models.anatomy import tensor
from tessera.puzzle.models.decoder import Inner, LanguageModel, Layer, kind_of
from tessera.puzzle.models.loading import one_line
from tessera.puzzle.models.space import FFN, Attention, Space

if TYPE_CHECKING:
    from tessera.puzzle.models.skeleton import Skeleton

#: Tokens of a test, and those of them that a window shows.
TOKENS, WINDOW = 12, 3
#: Layers with calls of their subblocks; and what makes each kind of variant, or raises ValueError.
Layers = list[tuple[Layer, dict[str, Inner]]]
Tests = dict[str, Callable[[LanguageModel, Layer, Inner], nn.Module | None]]


@dataclass(frozen=True)
class Admission:
    """What a parent can have."""

    works: list[str] = field(default_factory=list)
    """Kinds of variants."""
    failed: dict[str, str] = field(default_factory=dict)
    """Other kinds, and what failed."""

    def check(self, space: Space, model: "LanguageModel | Skeleton") -> None:
        """Raise ValueError, naming the key of params, if the parent cannot have a variant of the space."""
        for place, named in (("attention", space.attention), ("ffn", space.ffn)):
            for name, variant in named.items():
                for kind in kinds(variant):  # type: ignore[arg-type]
                    if kind in self.failed:
                        raise ValueError(f"puzzle.space.{place}.{name}: this parent has no {kind}: {self.failed[kind]}")
                try:
                    for layer in distinct_layers(model):
                        variants.part(layer, model.config, variant)  # type: ignore[arg-type]
                except ValueError as error:
                    raise ValueError(f"puzzle.space.{place}.{name}: {error}") from None


def kinds(variant: Attention | FFN) -> list[str]:
    """The kinds of variants of which a variant is one."""
    attention = isinstance(variant, Attention)
    if variant.kind in ("linear", "no_op"):
        return [f"{variant.kind.replace('_', '-')} {'attention' if attention else 'FFN'}"]
    if isinstance(variant, Attention):
        heads = "merged KV heads" if variant.reduction == "merge" else "dropped KV heads"
        return [heads] * (variant.kv_heads is not None) + ["window"] * (variant.window is not None)
    sizes = {"narrower FFN": variant.width < 1, "fewer experts": variant.experts < 1}
    return [kind for kind, asked in (sizes | {"fewer active experts": variant.active is not None}).items() if asked]


def distinct_layers(model: "LanguageModel | Skeleton") -> Iterator[Layer]:
    """The first layer of each kind: of its classes, and of its type if the configuration has types of layers."""
    types, seen = getattr(model.config, "layer_types", None), set()
    for layer in model.layers:
        kind = kind_of(layer.module), types[layer.index] if types else None
        if kind not in seen:
            seen.add(kind)
            yield layer


@torch.no_grad()
def examine(model: LanguageModel) -> Admission:
    """Find which variants a parent can have.

    Raises ValueError, saying what failed, if the model cannot be a parent.
    """
    name, tokens = type(model.network).__name__, _tokens(model)
    try:
        x, calls = model.inputs(tokens)
        states = x
        for layer in model.layers:
            whole = layer(states, calls)
            split = layer(layer(states, calls, ffn=None), calls, attention=None)
            if not torch.equal(whole, split):
                raise ValueError(
                    f"layer {layer.index}, {type(layer.module).__name__}, is not attention, then FFN, each added to "
                    "what comes before it"
                )
            states = whole
        if not torch.equal(model.head(states), model(tokens)):
            raise ValueError("its layers, run one after the other, do not give its logits")
        _same_when_cached(model)
    except (ValueError, AttributeError, RuntimeError, TypeError) as error:
        raise ValueError(f"{name} cannot be a parent: {one_line(str(error))}") from error
    tests: Tests = {
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
    admission = Admission()
    layers = [(layer, _inners(model, layer)) for layer in distinct_layers(model)]
    with _shortened(model, 1 + max(layer.index for layer, _ in layers)):
        _try(model, tests, layers, admission)
    return admission


@contextmanager
def _shortened(model: LanguageModel, layers: int) -> Iterator[None]:
    """Leave out the layers behind the first few, which tests of these need not run."""
    name, modules = next(item for item in model.decoder.named_children() if isinstance(item[1], nn.ModuleList))
    setattr(model.decoder, name, nn.ModuleList(list(modules)[: layers + 1]))
    try:
        yield
    finally:
        setattr(model.decoder, name, modules)


def _try(model: LanguageModel, tests: Tests, layers: Layers, admission: Admission) -> None:
    """Enter into the admission what came of every test in every layer."""
    for kind, test in tests.items():
        place = "ffn" if "FFN" in kind or "experts" in kind else "attention"
        for layer, inners in layers:
            try:
                module = test(model, layer, inners[place])
                with layer.exchanged(**{place: module}):
                    _same_when_cached(model)
            except (ValueError, RuntimeError, AttributeError, TypeError, KeyError) as error:
                admission.failed[kind] = f"layer {layer.index}: {one_line(str(error))}"
                break
        else:
            admission.works.append(kind)


def _tokens(model: LanguageModel) -> Tensor:
    """Token ids (2, TOKENS), none twice, far from the special ones."""
    ids = torch.arange(2 * TOKENS, device=model.device) * 31 + model.config.vocab_size // 2
    return (ids % model.config.vocab_size).view(2, TOKENS)


def _inners(model: LanguageModel, layer: Layer) -> dict[str, Inner]:
    x, calls = model.inputs(_tokens(model))
    return {place: layer.inner(place, x, calls) for place in layer.anatomy}


def _same_when_cached(model: LanguageModel) -> None:
    """Raise ValueError unless the decoder gives the same with a cache, and with padding on the left."""
    tokens, pad, decoder = _tokens(model), 4, model.decoder
    mask = torch.ones_like(tokens)
    mask[1, :pad] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)

    def run(start: int, end: int, **cache: object):  # type: ignore[no-untyped-def]
        given = {"input_ids": tokens[:, start:end], "position_ids": positions[:, start:end]}
        return decoder(**given, attention_mask=mask[:, :end], **cache)

    whole = run(0, TOKENS, use_cache=False).last_hidden_state
    if not whole.isfinite().all():
        raise ValueError("states are not finite")
    first = run(0, TOKENS - 3, use_cache=True)
    cached = [first.last_hidden_state[:, -1:]]
    for end in range(TOKENS - 2, TOKENS + 1):
        cached.append(run(end - 1, end, past_key_values=first.past_key_values, use_cache=True).last_hidden_state)
    _expect(torch.cat(cached, 1), whole[:, -4:], "what is generated with a cache is not what is without")
    alone = decoder(input_ids=tokens[1:, pad:], use_cache=False).last_hidden_state
    _expect(alone, whole[1:, pad:], "what follows a text with padding on its left is not what follows it without")


def _expect(value: Tensor, expected: Tensor, otherwise: str) -> None:
    tolerance = 1e-3 if expected.dtype == torch.float32 else 0.1
    if not torch.allclose(value, expected, rtol=0, atol=tolerance * float(expected.abs().max())):
        raise ValueError(otherwise)


def _with(child: nn.Module, state: dict[str, Tensor], like: nn.Module) -> nn.Module:
    child.load_state_dict({n: value.to(next(like.parameters())) for n, value in state.items()}, assign=True)
    return child


def _linear(model: LanguageModel, layer: Layer, variant: Attention | FFN) -> nn.Module:
    place, described = kinds(variant)[0].split()[1].lower(), variants.part(layer, model.config, variant)
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
    _expect(inner.of(child), inner.of(parent), "merging equal KV heads changes what attention returns")
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
    _expect(inner.of(child), inner.of(parent), "attention is not the sum of what its groups of heads add by themselves")
    return child


def _window(model: LanguageModel, layer: Layer, inner: Inner) -> nn.Module:
    """A window is what a mask makes of the parent's attention."""
    parent, config = layer.subblock("attention"), model.config
    described = variants.part(layer, config, Attention(kind="gqa", window=WINDOW))
    child = _with(variants.build(layer, config, described, "attention"), parent.state_dict(), parent)
    band = torch.ones(TOKENS, TOKENS, dtype=torch.bool, device=inner.input.device).tril()
    band = (band & ~band.tril(-WINDOW))[None, None]
    mask = inner.kwargs.get("attention_mask")
    if mask is None or mask.dtype == torch.bool:
        mask = band if mask is None else mask & band
    else:
        mask = mask.masked_fill(~band, torch.finfo(mask.dtype).min)
    masked = tensor(parent(*inner.args, **inner.kwargs | {"attention_mask": mask}))
    _expect(inner.of(child), masked, "a window is not what a mask makes of attention")
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
    _expect(inner.of(turned), inner.of(parent), "what a mixture returns depends on the order of its experts")
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
