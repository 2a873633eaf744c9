"""Which models can be parents, and which variants they can have: by tests of the network itself, on a few tokens.

No family is named here. A parent is admitted if its layers, run one by one and cut between attention and FFN, give its
logits bit for bit. A kind of variant is admitted if it passes its check of `variant_checks`, and if the network with it
gives the same logits with and without a cache and with padding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tessera.puzzle.models import variants
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Inner, Layer, kind_of
from tessera.puzzle.models.loading import one_line
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.models.variant_checks import CHECKS, expect

if TYPE_CHECKING:
    from tessera.puzzle.models.skeleton import Skeleton

#: Tokens of a test.
TOKENS = 12
#: Layers with calls of their subblocks.
Layers = list[tuple[Layer, dict[str, Inner]]]


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
    admission = Admission()
    layers = [(layer, _inners(model, layer)) for layer in distinct_layers(model)]
    with _shortened(model, 1 + max(layer.index for layer, _ in layers)):
        _try(model, layers, admission)
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


def _try(model: LanguageModel, layers: Layers, admission: Admission) -> None:
    """Enter into the admission what came of every check in every layer."""
    for kind, check in CHECKS.items():
        place = "ffn" if "FFN" in kind or "experts" in kind else "attention"
        for layer, inners in layers:
            try:
                module = check(model, layer, inners[place])
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
    expect(torch.cat(cached, 1), whole[:, -4:], "what is generated with a cache is not what is without")
    alone = decoder(input_ids=tokens[1:, pad:], use_cache=False).last_hidden_state
    expect(alone, whole[1:, pad:], "what follows a text with padding on its left is not what follows it without")
