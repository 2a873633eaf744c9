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

from tessera.puzzle import text
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Calls
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
    mask: Tensor | None = None,
) -> dict[int, dict[str, dict[str, dict[str, Any]]]]:
    """Score the variants of some layers.

    variants maps a layer to {"attention": {variant: module}, "ffn": {...}}; tokens (windows, T + 1) hold each window
    and the token that follows it; documents (windows,) number the text that a window is from; track wraps the loop over
    windows, to show progress; mask (windows, T) has the positions that count, None for all. Returns layer -> subblock
    -> variant -> metrics (see `summary`), the parent's own under attention's "parent".
    """
    collected: dict[tuple[int, str, str], list[Agreement]] = {}
    batches = text.batches(tokens, mask, max(1, BATCH_TOKENS // (tokens.shape[1] - 1)))
    for i, layer in track([(i, layer) for i in range(len(batches)) for layer in variants]):
        batch = batches[i]
        if layer == next(iter(variants)):
            before, middle, calls = hidden_states(parent, batch.inputs)
            last = batch.counted(before[-1])
            [itself] = divergence.compare(parent.head, last, [(parent.head, last)], batch.targets)
        outputs = dict(exchanged(parent, layer, variants[layer], before, middle, calls))
        children = [(parent.head, batch.counted(states)) for states in outputs.values()]
        agreements = [itself, *divergence.compare(parent.head, last, children, batch.targets)]
        for (subblock, name), agreement in zip([("attention", PARENT), *outputs], agreements, strict=True):
            collected.setdefault((layer, subblock, name), []).extend(agreement.split(batch.sizes))
    scores: dict[int, dict[str, dict[str, dict[str, Any]]]] = {}
    for (layer, subblock, name), parts in collected.items():
        scores.setdefault(layer, {"attention": {}, "ffn": {}})[subblock][name] = summary(parts, documents)
    return scores


@torch.no_grad()
def hidden_states(
    model: LanguageModel, tokens: Tensor, positions: Tensor | None = None, seen: Tensor | None = None
) -> tuple[list[Tensor], list[Tensor], Calls]:
    """Hidden states before each layer and after the last (L + 1), between each layer's subblocks (L), and the calls.

    By default each token sees those before it, which are counted from 0; else see LanguageModel.inputs.
    """
    x, calls = model.inputs(tokens, positions, seen)
    states, middle = [x], []
    for layer in model.layers:
        middle.append(layer(states[-1], calls, ffn=None))
        states.append(layer(middle[-1], calls, attention=None))
    return states, middle, calls


@torch.no_grad()
def exchanged(
    parent: LanguageModel,
    index: int,
    variants: Variants,
    before: list[Tensor],
    middle: list[Tensor],
    calls: Calls,
) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """Yield (subblock, variant) and the last hidden states of the parent with that subblock of layer `index` exchanged.

    before, middle and calls are the parent's `hidden_states`.
    """
    layer, later = parent.layers[index], parent.layers[index + 1 :]
    for subblock, modules in variants.items():
        for name, module in modules.items():
            if subblock == "attention":
                x = layer(before[index], calls, attention=module)
            else:
                x = middle[index] if module is None else layer(middle[index], calls, attention=None, ffn=module)
            for following in later:
                x = following(x, calls)
            yield (subblock, name), x


def by_window(windows: list[Agreement]) -> dict[str, list]:
    """Means of kl_div, lm_loss and top1 of each window, and its number of `tokens` if windows differ in it."""
    series: dict[str, list] = {
        metric: [getattr(a, metric).double().mean().item() for a in windows] for metric in ("kl_div", "lm_loss", "top1")
    }
    sizes = [len(a.kl_div) for a in windows]
    return series if len(set(sizes)) == 1 else series | {"tokens": sizes}


def summary(windows: list[Agreement], documents: np.ndarray) -> dict[str, Any]:
    """Means over tokens of kl_div, lm_loss (nats) and top1 (share), each with its standard error (_se) by document.

    A window weighs by its tokens.
    """
    series = by_window(windows)
    tokens = series.pop("tokens", None)
    return summarised(series, documents, tokens)


def summarised(
    series: Mapping[str, Sequence[float] | np.ndarray],
    documents: np.ndarray,
    tokens: Sequence[int] | np.ndarray | None = None,
) -> dict[str, Any]:
    """Means over tokens of metrics (windows,) by window, and standard errors (_se) by document.

    tokens (windows,) is their number, None if it is the same in all.
    """
    weights = None if tokens is None else np.asarray(tokens, float)
    metrics: dict[str, Any] = {}
    for metric, values in series.items():
        metrics[metric] = float(np.average(np.asarray(values, float), weights=weights))
        metrics[f"{metric}_se"] = standard_error(np.asarray(values, float), documents, weights)
    return metrics


def standard_error(values: np.ndarray, clusters: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Standard error of the mean of values (n,) that are alike within clusters (n,); None for a single cluster.

    With weights (n,) it is that of the weighted mean, by linearisation as a ratio of two sums over clusters.
    """
    _, index = np.unique(clusters, return_inverse=True)
    count = index.max() + 1
    if count < 2:
        return None
    deviations = values - np.average(values, weights=weights)
    sums = np.bincount(index, deviations if weights is None else deviations * weights)
    total = len(values) if weights is None else float(weights.sum())
    return math.sqrt(float((sums**2).sum()) * count / (count - 1)) / total
