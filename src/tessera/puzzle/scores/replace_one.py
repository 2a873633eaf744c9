"""Replace-one-block scores: the parent with one subblock exchanged, against the parent, on held-out text.

Up to the exchanged subblock the hidden states are the parent's. They are computed once, and only the suffix is run for
each variant: exact, and half the work of full forward passes. All states of a text advance together, layer by layer, so
that a parent whose layers do not fit in memory reads each of them once per pass.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tessera.puzzle import text
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Calls, Layer
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores.divergence import Agreement

#: Tokens that pass through the models at once.
BATCH_TOKENS = 1024

#: Subblock modules of one layer by subblock and variant; None is a no-op.
Variants = Mapping[str, Mapping[str, nn.Module | None]]


class OnDemand(Mapping[int, Variants]):
    """Variants of some layers, made when they are asked for, and not kept."""

    def __init__(self, layers: Iterable[int], make: Callable[[int], Variants]) -> None:
        self.layers, self.make = list(layers), make

    def __getitem__(self, layer: int) -> Variants:
        return self.make(layer)

    def __contains__(self, layer: object) -> bool:
        return layer in self.layers

    def __iter__(self) -> Iterator[int]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


@torch.no_grad()
def score(
    parent: LanguageModel,
    variants: Mapping[int, Variants],
    tokens: Tensor,
    documents: np.ndarray,
    track: Callable[[Sequence[int]], Iterable[int]] = iter,
    mask: Tensor | None = None,
    batches_at_once: int = 1,
    layers_at_once: int | None = None,
) -> dict[int, dict[str, dict[str, dict[str, Any]]]]:
    """Score the variants of some layers.

    variants maps a layer to {"attention": {variant: module}, "ffn": {...}}; tokens (windows, T + 1) hold each window
    and the token that follows it; documents (windows,) number the text that a window is from; track wraps the steps, to
    show progress: layers that a batch of text passes, and parts of it that pass the head; mask (windows, T) has the
    positions that count, None for all. A pass takes so many batches of text, and variants of so many layers, through
    the parent's layers, which changes no number: see `schedule`. Returns layer -> subblock -> variant -> metrics (see
    `summary`), the parent's own under attention's "parent".
    """
    collected: dict[tuple[int, str, str], list[Agreement]] = {}
    parts, scored = batches(tokens, mask), list(variants)
    at_once = layers_at_once or max(1, len(scored))
    passes = [
        (parts[i : i + batches_at_once], scored[j : j + at_once])
        for i in range(0, len(parts), batches_at_once)
        for j in range(0, len(scored), at_once)
    ]
    layers, rows = range(len(parent.layers)), divergence.rows(parent.config.vocab_size)
    count = sum(len(layers) + math.ceil(sum(batch.sizes) / rows) for some, _ in passes for batch in some)
    steps = iter(track(range(count)))

    def tick() -> None:
        next(steps, None)

    for some, chosen in passes:
        waves = [_Wave(parent, batch) for batch in some]
        for index in layers:
            layer, modules = parent.layer(index), variants[index] if index in chosen else {}
            for wave in waves:
                tick()
                wave.advance(layer, modules)
        for wave in waves:
            for (exchanged, subblock, name), agreement in wave.agreements(parent, chosen, tick):
                agreements = agreement.split(wave.batch.sizes)
                collected.setdefault((exchanged, subblock, name), []).extend(agreements)
    tick()  # the last one is done
    scores: dict[int, dict[str, dict[str, dict[str, Any]]]] = {}
    for (exchanged, subblock, name), agreements in collected.items():
        scores.setdefault(exchanged, {"attention": {}, "ffn": {}})[subblock][name] = summary(agreements, documents)
    return scores


def batches(tokens: Tensor, mask: Tensor | None = None) -> list[text.Batch]:
    """Windows (windows, T + 1) in batches that pass through a model at once; mask as in `score`."""
    return text.batches(tokens, mask, max(1, BATCH_TOKENS // (tokens.shape[1] - 1)))


class _Wave:
    """A batch of text on its way through the layers: states of the parent, and of it with one subblock exchanged."""

    def __init__(self, parent: LanguageModel, batch: text.Batch) -> None:
        self.batch = batch
        self.x, self.calls = parent.inputs(batch.inputs)
        self.exchanged: dict[tuple[int, str, str], Tensor] = {}

    def advance(self, layer: Layer, variants: Variants) -> None:
        """Pass a layer, from which on the states of its variants are followed too."""
        for place, x in self.exchanged.items():
            self.exchanged[place] = layer(x, self.calls)
        middle = layer(self.x, self.calls, ffn=None)
        for subblock, modules in variants.items():
            for name, module in modules.items():
                self.exchanged[layer.index, subblock, name] = _behind(
                    layer, subblock, module, self.x, middle, self.calls
                )
        self.x = layer(middle, self.calls, attention=None)

    def agreements(
        self, parent: LanguageModel, layers: Sequence[int], tick: Callable[[], object]
    ) -> Iterator[tuple[tuple[int, str, str], Agreement]]:
        """(layer, subblock, variant) and its agreement with the parent; the parent's own first, for each of layers."""
        last = self.batch.counted(self.x)
        children = [(parent.head, self.batch.counted(states)) for states in (self.x, *self.exchanged.values())]
        itself, *agreements = divergence.compare(parent.head, last, children, self.batch.targets, tick)
        yield from (((layer, "attention", PARENT), itself) for layer in layers)
        yield from zip(self.exchanged, agreements, strict=True)


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
            x = _behind(layer, subblock, module, before[index], middle[index], calls)
            for following in later:
                x = following(x, calls)
            yield (subblock, name), x


def _behind(
    layer: Layer, subblock: str, module: nn.Module | None, before: Tensor, middle: Tensor, calls: Calls
) -> Tensor:
    """Hidden states behind a layer, one subblock of which is exchanged, from the parent's before and within it."""
    if subblock == "attention":
        return layer(before, calls, attention=module)
    return middle if module is None else layer(middle, calls, attention=None, ffn=module)


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
