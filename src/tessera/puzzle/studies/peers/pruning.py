"""Other ways to prune the same parent to the same budget, written from their papers as compositions of our blocks.

depth: whole layers of least block influence are dropped (ShortGPT, Men et al. 2024). width: every FFN keeps the same
number of channels, those of largest activation (Minitron, Muralidharan et al. 2024; its pruning of heads and of the
residual width cannot be expressed by our blocks and is left out). flap: the channels that fluctuate least, standardised
and ranked over all layers at once, are replaced by the bias that they leave in the mean (FLAP, An et al. 2024; channels
alone, heads are left out for the same reason). None of them knows what a block costs: pruning continues until the
budget is met. Times of widths that were not measured are interpolated linearly in the width.

Shapes: L layers, F channels, D hidden size.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tessera.puzzle import child
from tessera.puzzle.models import slices, variants
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Layer
from tessera.puzzle.models.space import FFN, PARENT, Attention, Space
from tessera.puzzle.text import check, counted


@dataclasses.dataclass
class Statistics:
    """Statistics of the parent by which the peers prune, from one pass over the calibration text.

    influence (L,): 1 - mean cosine of the hidden states before and after a layer. mean and variance (L, F) of each FFN
    channel over tokens. magnitude (L, F): L2 norm over windows of the channel's mean absolute value in the window.
    """

    influence: Tensor
    mean: Tensor
    variance: Tensor
    magnitude: Tensor


@torch.no_grad()
def statistics(
    parent: LanguageModel,
    tokens: Tensor,
    track: Callable[[Sequence[int]], Iterable[int]] = iter,
    mask: Tensor | None = None,
) -> Statistics:
    """Statistics of tokens (windows, T), of those that mask (windows, T) counts, or of all.

    Raises ValueError if an FFN does not end with a linear map of its channels, or if no token of a window counts.
    """
    check(mask)
    maps = [last_map(layer) for layer in parent.layers]
    layers, channels = len(maps), max(linear.in_features for _, linear in maps)
    cosine = torch.zeros(layers, dtype=torch.float64)
    total, square, peak = (torch.zeros(layers, channels, dtype=torch.float64) for _ in range(3))
    for n in track(range(len(tokens))):
        x, calls = parent.inputs(tokens[n : n + 1])
        counts = None if mask is None else mask[n : n + 1]
        for i, layer in enumerate(parent.layers):
            middle = layer(x, calls, ffn=None)
            h = layer.inner("ffn", middle, calls, attention=None).features(layer.subblock("ffn"), maps[i][0])
            h, after = counted(h, counts), layer(middle, calls, attention=None)
            similarity = F.cosine_similarity(counted(after, counts), counted(x, counts), dim=-1)
            cosine[i] += similarity.sum(dtype=torch.float64).cpu()
            total[i] += h.sum(0, dtype=torch.float64).cpu()
            square[i] += h.square().sum(0, dtype=torch.float64).cpu()
            peak[i] += h.abs().mean(0).double().square().cpu()
            x = after
    count = tokens.numel() if mask is None else int(mask.sum())
    mean = total / count
    return Statistics(1 - cosine / count, mean, (square / count - mean**2).clamp_min(0), peak.sqrt())


def last_map(layer: Layer) -> tuple[str, nn.Linear]:
    """Name and module of the linear map from a layer's FFN channels to its output. Raises ValueError if it has none."""
    ffn, name = layer.subblock("ffn"), layer.anatomy["ffn"].last
    if name is None or variants.is_mixture(layer):
        raise ValueError(f"layer {layer.index}: {type(ffn).__name__} does not end with a linear map of its channels")
    linear = ffn.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    return name, linear


class Times:
    """Milliseconds of the layers' subblocks on one target, for any width of the FFN."""

    def __init__(self, costs: Sequence[pd.DataFrame], space: Space, width: int) -> None:
        """costs: of each layer a target's rows; width: the parent's FFN channels.

        Widths between those of the space are interpolated, 0 is no FFN at all.
        """
        gated = {name: max(1, round(ffn.width * width)) for name, ffn in space.ffns().items() if ffn.kind == "gated"}
        names = sorted(gated, key=lambda name: gated[name])
        tables = [table.set_index(["subblock", "variant"]).runtime_ms for table in costs]
        self.attention = np.array([float(table["attention", PARENT]) for table in tables])
        self.widths = [0, *(gated[name] for name in names)]
        self.ffn = [[0.0, *(float(table["ffn", name]) for name in names)] for table in tables]

    def of(self, widths: Sequence[int], kept: Sequence[bool] | None = None) -> float:
        """Milliseconds of the blocks, whose layers are kept or dropped whole."""
        ffn = [np.interp(width, self.widths, times) for width, times in zip(widths, self.ffn, strict=True)]
        kept = [True] * len(widths) if kept is None else kept
        return float((self.attention + ffn)[np.asarray(kept)].sum())


def dropped_layers(influence: Tensor, times: Times, width: int, budget: float) -> list[int]:
    """Layers to drop, those of least influence first, until the rest meet the budget. Raises ValueError if none do."""
    order = influence.argsort(stable=True).tolist()
    for n in range(len(order) + 1):
        kept = [i not in order[:n] for i in range(len(order))]
        if times.of([width] * len(order), kept) <= budget:
            return sorted(order[:n])
    raise ValueError(f"the budget of {budget:g} ms is below 0")


def uniform_channels(magnitude: Tensor, times: Times, budget: float) -> list[Tensor]:
    """Channels that each layer keeps, the same number in all: the most that meet the budget."""
    count, full = magnitude.shape
    fits = [width for width in range(1, full + 1) if times.of([width] * count) <= budget]
    if not fits:
        raise ValueError(f"FFNs of one channel take {times.of([1] * count):g} ms; the budget is {budget:g} ms")
    order = magnitude.argsort(dim=1, descending=True, stable=True)
    return [order[i, : fits[-1]].sort().values for i in range(count)]


def fluctuating_channels(variance: Tensor, down: Sequence[Tensor], times: Times, budget: float) -> list[Tensor]:
    """Channels that each layer keeps, of largest standardised fluctuation over all layers.

    The fluctuation of a channel is its variance times the squared norm of its outgoing weights; it is standardised
    within each layer. Every layer keeps at least one channel. down: (D, F) of each layer.
    """
    metric = torch.stack([v * w.double().square().sum(0) for v, w in zip(variance, down, strict=True)])
    metric = (metric - metric.mean(1, keepdim=True)) / metric.std(1, keepdim=True)
    metric.scatter_(1, metric.argmax(1, keepdim=True), torch.inf)
    count, full = metric.shape
    order = metric.flatten().argsort(descending=True, stable=True)

    def widths(kept: int) -> list[int]:
        return torch.bincount(order[:kept] // full, minlength=count).tolist()

    low, high = count, count * full + 1  # the most channels that meet the budget, by bisection
    if times.of(widths(low)) > budget:
        raise ValueError(f"FFNs of one channel take {times.of(widths(low)):g} ms; the budget is {budget:g} ms")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if times.of(widths(middle)) <= budget else (low, middle)
    chosen = order[:low]
    return [chosen[chosen // full == i].remainder(full).sort().values for i in range(count)]


@torch.no_grad()
def pruned(
    parent: LanguageModel,
    dropped: Sequence[int] = (),
    channels: Sequence[Tensor] | None = None,
    mean: Tensor | None = None,
) -> LanguageModel:
    """The parent without some layers, or with some of each FFN's channels.

    mean (L, F): if given, the pruned channels' mean goes through their outgoing weights into a bias of the FFN's last
    map. The FFN's other maps then have biases of 0, if the parent's have none, as Llama's `mlp_bias` gives them.
    """
    config = parent.config
    nothing: dict[str, Attention | FFN] = {"attention": Attention(kind="no_op"), "ffn": FFN(kind="no_op")}
    replaced: dict[tuple[int, str], tuple[nn.Module | None, dict[str, Any]]] = {
        (i, place): (None, variants.part(parent.layer(i), config, variant))
        for i in dropped
        for place, variant in nothing.items()
    }
    for i, kept in enumerate(channels or ()):
        replaced[i, "ffn"] = _narrowed(parent.layer(i), config, kept, None if mean is None else mean[i])
    return child.exchanged(parent, replaced)


def _narrowed(layer: Layer, config: Any, kept: Tensor, mean: Tensor | None) -> tuple[nn.Module, dict[str, Any]]:
    """A layer's FFN of the channels kept, and the PART of `modeling_child` that describes it; mean as of `pruned`."""
    (name, last), ffn = last_map(layer), layer.subblock("ffn")
    part: dict[str, Any] = {"kind": "own", "config": {"intermediate_size": len(kept)}}
    state = ffn.state_dict()
    if mean is not None:
        part["bias"] = True
        linear = {key: module for key, module in ffn.named_modules() if isinstance(module, nn.Linear)}
        state = {f"{key}.bias": w.weight.new_zeros(w.out_features) for key, w in linear.items()} | state
        lost = torch.ones(last.in_features, dtype=torch.bool)
        lost[kept] = False
        left = last.weight[:, lost].double() @ mean[lost]
        state[f"{name}.bias"] = state[f"{name}.bias"] + left.to(last.weight.dtype)
    module = variants.build(layer, config, part, "ffn")
    sizes = last.in_features, kept, variants.interleaved(layer, config)
    module.load_state_dict(slices.channels(state, module.state_dict(), *sizes), assign=True)
    return module.requires_grad_(False), part
