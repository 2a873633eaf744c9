"""Replace-one-block scores: the parent with one subblock exchanged, against the parent, on held-out text.

Up to the exchanged subblock the hidden states are the parent's. They are computed once, and only the suffix is run for
each variant: exact, and half the work of full forward passes.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tessera.puzzle.models.model import LanguageModel
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores.divergence import Agreement

#: Tokens that pass through the models at once.
BATCH_TOKENS = 1024

#: Subblock modules of one layer by subblock and variant; None is a no-op.
Variants = Mapping[str, Mapping[str, nn.Module | None]]


@torch.no_grad()
def score(
    parent: LanguageModel,
    variants: Mapping[int, Variants],
    tokens: Tensor,
    documents: np.ndarray,
    track: Callable[[Sequence[tuple[int, int]]], Iterable[tuple[int, int]]] = iter,
) -> dict[int, dict[str, dict[str, dict[str, Any]]]]:
    """Score the variants of some layers.

    variants maps a layer to {"attention": {variant: module}, "ffn": {...}}; tokens (windows, T + 1) hold each window
    and the token that follows it; documents (windows,) number the text that a window is from; track wraps the loop over
    windows, to show progress. Returns layer -> subblock -> variant -> metrics (see `summary`), the parent's own under
    attention's "parent".
    """
    collected: dict[tuple[int, str, str], list[Agreement]] = {}
    T = tokens.shape[1] - 1
    batches = tokens.split(max(1, BATCH_TOKENS // T))
    for i, layer in track([(i, layer) for i in range(len(batches)) for layer in variants]):
        x, targets = batches[i][:, :-1], batches[i][:, 1:].flatten()
        if layer == next(iter(variants)):
            before, middle = hidden_states(parent, x)
            last, rotary = before[-1].flatten(0, 1), parent.model.positions(x)
            [itself] = divergence.compare(head(parent), last, [(head(parent), last)], targets)
        outputs = dict(exchanged(parent, layer, variants[layer], before, middle, rotary))
        children = [(head(parent), states.flatten(0, 1)) for states in outputs.values()]
        agreements = [itself, *divergence.compare(head(parent), last, children, targets)]
        for (subblock, name), agreement in zip([("attention", PARENT), *outputs], agreements, strict=True):
            collected.setdefault((layer, subblock, name), []).extend(agreement.split(T))
    scores: dict[int, dict[str, dict[str, dict[str, Any]]]] = {}
    for (layer, subblock, name), parts in collected.items():
        scores.setdefault(layer, {"attention": {}, "ffn": {}})[subblock][name] = summary(parts, documents)
    return scores


def head(model: LanguageModel) -> divergence.Head:
    """The map from last hidden states, before the final norm, to logits."""
    return lambda states: model.lm_head(model.model.norm(states))


@torch.no_grad()
def hidden_states(
    model: LanguageModel, tokens: Tensor, rotary: tuple[Tensor, Tensor] | None = None, mask: Tensor | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Hidden states before each layer and after the last (L + 1), and between each layer's subblocks (L).

    By default each token sees those before it, which are counted from 0.
    """
    states, middle = [model.model.embed_tokens(tokens)], []
    rotary = rotary or model.model.positions(tokens)
    for layer in model.model.layers:
        middle.append(layer.attend(states[-1], rotary, mask))
        states.append(layer.feed(middle[-1]))
    return states, middle


@torch.no_grad()
def exchanged(
    parent: LanguageModel,
    index: int,
    variants: Variants,
    before: list[Tensor],
    middle: list[Tensor],
    rotary: tuple[Tensor, Tensor],
    mask: Tensor | None = None,
) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """Yield (subblock, variant) and the last hidden states of the parent with that subblock of layer `index` exchanged.

    before and middle are the parent's `hidden_states` under the same positions and mask.
    """
    layer = parent.model.layers[index]
    assert layer.input_layernorm and layer.post_attention_layernorm  # a parent's layer has both subblocks
    for subblock, modules in variants.items():
        for name, module in modules.items():
            if subblock == "attention":
                x = before[index]
                x = x if module is None else x + module(layer.input_layernorm(x), rotary, mask)
                x = layer.feed(x)
            else:
                x = middle[index]
                x = x if module is None else x + module(layer.post_attention_layernorm(x))
            for later in parent.model.layers[index + 1 :]:
                x = later(x, rotary, mask)
            yield (subblock, name), x


def summary(windows: list[Agreement], documents: np.ndarray) -> dict[str, Any]:
    """Means over tokens of kl_div, lm_loss (nats) and top1 (share), each with its standard error (_se) by document."""
    metrics: dict[str, Any] = {}
    for metric in ("kl_div", "lm_loss", "top1"):
        means = np.array([getattr(a, metric).double().mean().item() for a in windows])
        metrics[metric] = float(means.mean())
        metrics[f"{metric}_se"] = standard_error(means, documents)
    return metrics


def standard_error(values: np.ndarray, clusters: np.ndarray) -> float | None:
    """Standard error of the mean of values (n,) that are alike within clusters (n,); None for a single cluster."""
    _, index = np.unique(clusters, return_inverse=True)
    count = index.max() + 1
    if count < 2:
        return None
    sums = np.bincount(index, values - values.mean())
    return math.sqrt(float((sums**2).sum()) * count / (count - 1)) / len(values)
