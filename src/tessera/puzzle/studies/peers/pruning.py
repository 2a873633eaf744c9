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

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.model import AttentionSpec, FFNSpec, GatedFFN, LanguageModel
from tessera.puzzle.models.space import PARENT, Space
from tessera.puzzle.models.specs import model_spec


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
    parent: LanguageModel, tokens: Tensor, track: Callable[[Sequence[Tensor]], Iterable[Tensor]] = iter
) -> Statistics:
    """Statistics of tokens (windows, T)."""
    layers = parent.model.layers
    count, channels = len(layers), [layer.mlp.down_proj.in_features for layer in layers]  # type: ignore[union-attr]
    cosine = torch.zeros(count, dtype=torch.float64)
    total, square, peak = (torch.zeros(count, max(channels), dtype=torch.float64) for _ in range(3))
    for window in track(list(tokens.split(1))):
        x, rotary = parent.model.embed_tokens(window), parent.model.positions(window)
        for i, layer in enumerate(layers):
            assert isinstance(layer.mlp, GatedFFN) and layer.post_attention_layernorm is not None  # a parent's layer
            middle = layer.attend(x, rotary)
            h = layer.mlp.channels(layer.post_attention_layernorm(middle))[0]
            after = middle + layer.mlp.down_proj(h)
            cosine[i] += F.cosine_similarity(after[0], x[0], dim=-1).sum(dtype=torch.float64)
            total[i] += h.sum(0, dtype=torch.float64)
            square[i] += h.square().sum(0, dtype=torch.float64)
            peak[i] += h.abs().mean(0).double().square()
            x = after
    n = tokens.numel()
    mean = total / n
    return Statistics(1 - cosine / n, mean, (square / n - mean**2).clamp_min(0), peak.sqrt())


class Times:
    """Milliseconds of a layer's subblocks on one target, for any width of the FFN."""

    def __init__(self, costs: pd.DataFrame, space: Space, architecture: Architecture) -> None:
        """costs: a target's table; widths between those of the space are interpolated, 0 is no FFN at all."""
        table = costs.set_index(["subblock", "variant"]).runtime_ms
        self.attention = float(table["attention", PARENT])
        gated = {name: ffn for name, ffn in space.ffns().items() if ffn.kind == "gated"}
        points = {ffn.intermediate_size(architecture): float(table["ffn", name]) for name, ffn in gated.items()}
        self.widths = np.array([0, *sorted(points)])
        self.ffn = np.array([0.0, *(points[width] for width in sorted(points))])

    def of(self, widths: Sequence[int], kept: Sequence[bool] | None = None) -> float:
        """Milliseconds of the blocks, whose layers are kept or dropped whole."""
        kept = [True] * len(widths) if kept is None else kept
        each = self.attention + np.interp(widths, self.widths, self.ffn)
        return float(each[np.asarray(kept)].sum())


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
    architecture: Architecture,
    dropped: Sequence[int] = (),
    channels: Sequence[Tensor] | None = None,
    mean: Tensor | None = None,
) -> LanguageModel:
    """The parent without some layers, or with some of each FFN's channels.

    mean (L, F): if given, the pruned channels' mean goes through their outgoing weights into the FFN's bias.
    """
    a = architecture
    specs = []
    for i in range(a.num_layers):
        if i in dropped:
            specs.append((AttentionSpec("no_op"), FFNSpec("no_op")))
        else:
            width = a.intermediate_size if channels is None else len(channels[i])
            specs.append((AttentionSpec("gqa", a.num_kv_heads), FFNSpec("gated", width)))
    spec = model_spec(a, specs)
    spec = dataclasses.replace(spec, mlp_bias=spec.mlp_bias or mean is not None)
    with torch.device("meta"):
        child = LanguageModel(spec)
    tensors = parent.state_dict()
    state = {}
    for name, slot in child.state_dict().items():
        value = tensors.get(name)
        if ".mlp." in name:
            i, (projection, what) = int(name.split(".")[2]), name.split(".")[-2:]
            kept = torch.arange(a.intermediate_size) if channels is None else channels[i]
            if value is None:  # a bias that the parent does not have
                value = torch.zeros(a.hidden_size if projection == "down_proj" else a.intermediate_size)
            if projection == "down_proj" and what == "bias" and mean is not None:
                lost = torch.ones(a.intermediate_size, dtype=torch.bool)
                lost[kept] = False
                weight = tensors[f"model.layers.{i}.mlp.down_proj.weight"]
                value = value + (weight[:, lost].double() @ mean[i][lost]).to(value.dtype)
            elif projection == "down_proj" and what == "weight":
                value = value[:, kept]
            elif projection != "down_proj":
                value = value[kept]
        assert value is not None and value.shape == slot.shape
        state[name] = value.clone()
    child.load_state_dict(state, assign=True)
    if a.tied_embeddings:
        child.lm_head.weight = child.model.embed_tokens.weight
    return child.requires_grad_(False)
