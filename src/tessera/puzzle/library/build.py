"""The block library: every variant of a layer, initialised and distilled, with the losses that show how well."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tessera.puzzle.library import distill, initialise, least_squares
from tessera.puzzle.library.activations import Activations, States
from tessera.puzzle.library.initialise import Batches
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models import variants
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.params import BATCH, LibraryParams

Module: TypeAlias = nn.Module | None
#: Least squared norm of an output that is divided by: smaller ones are of no token.
TINY = 1e-30


@dataclass(frozen=True)
class Parts:
    """Moments of the training text: of the first part of it, and of the last, None if all is in the first."""

    first: Moments
    last: Moments | None = None

    @property
    def all(self) -> Moments:
        """Of the whole text."""
        return self.first if self.last is None else self.first + self.last

    def narrowed(self, channels: Tensor) -> "Parts":
        """Those of some channels (F',) alone."""
        last = None if self.last is None else self.last.narrowed(channels)
        return Parts(self.first.narrowed(channels), last)


class LayerLibrary:
    """Builds the variants of one layer of a parent, with a few windows of text in memory."""

    def __init__(
        self,
        parent: LanguageModel,
        index: int,
        space: Space,
        params: LibraryParams,
        train: States,
        valid: States,
        generator: Callable[[str], torch.Generator],
        scratch: Path,
        masks: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> None:
        """index is that of the parent's layer, none of whose weights requires a gradient; no other layer is used.

        train and valid (windows, T, D) are hidden states before the layer; generator(variant) orders its batches;
        scratch is a directory for the other hidden states, as large as twice train and valid; masks (windows, T) have
        the tokens of train and of valid that count, None for all. Raises ValueError if train has no window.
        """
        if not len(train):
            raise ValueError("no calibration text: calibration.tokens holds no whole window")
        self.config, self.space, self.params = parent.config, space, params
        self.layer, self.calls, self.generator = parent.layer(index), parent.calls(train.shape[1]), generator
        where = parent.device
        self.train = Activations.of(self.layer, train.to(where), self.calls, scratch / "train", masks[0])
        self.valid = Activations.of(self.layer, valid.to(where), self.calls, scratch / "valid", masks[1])

    def build(self) -> tuple[dict[str, Tensor], dict[str, dict]]:
        """Return the tensors, keyed subblock.variant/parameter, and a record of losses by subblock.variant."""
        tensors: dict[str, Tensor] = {}
        records: dict[str, dict] = {}
        for name, module, record in [*self._attentions(), *self._ffns()]:
            records[name] = record
            if module is not None:
                tensors |= {f"{name}/{key}": value.cpu().contiguous() for key, value in module.state_dict().items()}
        return tensors, records

    def _batches(self, subblock: str) -> Batches:
        """Calls of the parent's subblock on the training text, its outputs, and the weights of tokens in least squares.

        Weights make the residual the loss that distillation lowers: an error counts by what is made of it on its way
        into the hidden state, by a norm or a factor behind the subblock, relative to that state. Tokens that do not
        count weigh 0.
        """
        passed = {"ffn": None} if subblock == "attention" else {"attention": None}
        parent, altered = self.layer.subblock(subblock), self.layer.anatomy[subblock].altered
        for first, middle, after, mask in self.train.batches():
            before, behind = (first, middle) if subblock == "attention" else (middle, after)
            inner, added = self.layer.inner(subblock, before, self.calls, **passed), behind - before
            output = inner.of(parent) if altered else added
            scale = torch.ones_like(after[..., 0])
            if altered:
                scale = added.square().sum(-1) / output.square().sum(-1).clamp_min(TINY)
            yield inner, output, self.weight(scale, after, mask)

    def weight(self, scale: Tensor, after: Tensor, mask: Tensor | None) -> Tensor:
        """Weight (B, T) of a squared error, which is scaled on its way into the hidden states `after` the layer."""
        weight = scale if mask is None else scale * mask
        return weight if self.params.loss == "scalar" else weight / after.square().sum(-1)

    def _moments(self, subblock: str, of: Callable[[Batches], Moments]) -> Parts:
        """Moments of the training text, and of its last tenth by itself, by which ridges are chosen."""
        count = math.ceil(len(self.train.before) / BATCH)
        last = max(1, count // 10) if self.params.ridges and count > 1 else 0
        batches = iter(self._batches(subblock))
        parts = [of(itertools.islice(batches, size)) for size in (count - last, last) if size]
        return Parts(*parts)

    def _attentions(self) -> Iterator[tuple[str, Module, dict]]:
        layer, config, last = self.layer, self.config, self.layer.anatomy["attention"].last
        parent = layer.subblock("attention")
        call, moments = next(iter(self._batches("attention")))[0], None
        for name, variant in self.space.attention.items():
            groups = None
            if variant.reduction == "drop":
                if last is None:
                    raise ValueError(f"attention.{name}: the parent's attention does not end with a linear map")
                moments = moments or initialise.channel_moments(parent, last, self._batches("attention"))
                heads = config.num_key_value_heads, variant.kv_heads or config.num_key_value_heads
                groups = initialise.kept_groups(parent.get_submodule(last), moments, *heads)
            module = initialise.attention(layer, config, variant, call, groups)
            yield self._built(f"attention.{name}", variant, module, last, None)

    def _ffns(self) -> Iterator[tuple[str, Module, dict]]:
        layer, config, last = self.layer, self.config, self.layer.anatomy["ffn"].last
        parent, mixture = layer.subblock("ffn"), variants.is_mixture(layer)
        widths = {name: self._width(variant) for name, variant in self.space.ffn.items() if variant.width < 1}
        moments, kept, saliency = None, {}, None
        if widths and mixture:
            count, alternate = variants.channel_count(layer, config), variants.interleaved(layer, config)
            kept = {width: initialise.expert_channels(parent, count, width, alternate) for width in widths.values()}
        elif widths:
            if last is None:
                raise ValueError(f"ffn.{next(iter(widths))}: the parent's FFN does not end with a linear map")
            moments = self._moments("ffn", partial(initialise.channel_moments, parent, last))
            kept = initialise.kept_channels(
                parent.get_submodule(last), moments.all, list(widths.values()), self.params.selection, self.params.ridge
            )
        for name, variant in self.space.ffn.items():
            channels, experts = kept.get(widths.get(name, 0)), None
            if variant.experts < 1:
                saliency = initialise.expert_saliency(parent, self._batches("ffn")) if saliency is None else saliency
                experts = initialise.kept_experts(saliency, variants.part(layer, config, variant), config)
            module = initialise.ffn(layer, config, variant, channels, experts)
            narrow = moments.narrowed(channels) if moments and name in widths else None
            yield self._built(f"ffn.{name}", variant, module, last, narrow)

    def _width(self, variant: FFN) -> int:
        """Channels that an FFN variant keeps."""
        changes = variants.part(self.layer, self.config, variant)["config"]
        return changes[variants.width_key(self.layer, self.config)]

    def _fit(
        self, subblock: str, variant: Attention | FFN, module: nn.Module, last: str | None, m: Parts | None
    ) -> dict | None:
        """Fit a variant's last linear map to the parent's output; m are its moments, if known.

        Returns the ridge and whether it is around the weights of before, and not 0; None if it ends with no linear map.
        """
        last = "linear" if variant.kind == "linear" else last
        if last is None:
            return None
        linear, ridge, around = module.get_submodule(last), self.params.ridge, None
        m = m or self._moments(subblock, partial(initialise.moments, module, last))
        if m.last is not None:
            weights = linear.weight.T.double()
            chosen = least_squares.choose(m.first, m.last, self.params.ridges, [None, weights])
            ridge, around = chosen.ridge, chosen.around
        initialise.fit(linear, m.all, ridge, around)
        return {"ridge": ridge, "around_weights": around is not None}

    def _is_distilled(self, name: str, variant: Attention | FFN) -> bool:
        """Whether gradient descent is asked for, and can lower what least squares left.

        A linear FFN's loss is the very one that least squares has minimised.
        """
        if not self.params.distillation.tokens or name.partition(".")[0] not in self.params.distilled:
            return False
        linear = name.startswith("ffn.") and variant.kind == "linear" and not self.layer.anatomy["ffn"].altered
        return not linear or self.params.initialisation != "least_squares"

    def _built(
        self, name: str, variant: Attention | FFN, module: Module, last: str | None, moments: Parts | None
    ) -> tuple[str, Module, dict]:
        """Fit and distil one variant; its record holds the held-out losses after each phase and the training curve.

        Distillation that does not lower the held-out loss is taken back.
        """
        subblock, _, _ = name.partition(".")
        place, others = ("before", {}) if subblock == "attention" else ("middle", {"attention": None})

        def forward(x: Tensor) -> Tensor:
            return self.layer(x, self.calls, **others, **{subblock: module})

        def losses() -> dict:
            return self.losses(forward, getattr(self.valid, place))

        record: dict = {"parameters": sum(p.numel() for p in module.parameters()) if module else 0, "paper": losses()}
        if module is not None:
            if self.params.initialisation == "least_squares":
                fitted = self._fit(subblock, variant, module, last, moments)
                record |= {} if fitted is None else {"fit": fitted, "least_squares": losses()}
            if self._is_distilled(name, variant):
                inputs, start = getattr(self.train, place), record.get("least_squares", record["paper"])
                record["distilled"], better = self.tried(
                    module,
                    lambda: record.update(training=self.distilled(name, module, forward, inputs)),
                    losses,
                    start,
                )
                record["kept"] = "distilled" if better else "initial"
        return name, module, record

    def distilled(self, name: str, module: nn.Module, forward: Callable[[Tensor], Tensor], inputs: States) -> dict:
        """Train module, which forward uses, to imitate the parent's output; the training loss by tokens."""
        how = (self.params.distillation, self.params.loss, self.generator(name))
        return asdict(distill.train(module, forward, inputs, self.train.after, *how, self.train.mask))

    def losses(self, forward: Callable[[Tensor], Tensor], inputs: States) -> dict:
        """Losses of forward(inputs) against the parent's output on held-out text."""
        return asdict(distill.evaluate(forward, inputs, self.valid.after, BATCH, self.valid.mask))

    def tried(
        self, module: nn.Module, change: Callable[[], None], losses: Callable[[], dict], start: dict
    ) -> tuple[dict, bool]:
        """Held-out losses after a change of module, and whether it is kept: if not below `start`, it is taken back."""
        before = copy.deepcopy(module.state_dict())
        change()
        after = losses()
        better = after[self.params.loss] < start[self.params.loss]
        if not better:
            module.load_state_dict(before)
        return after, better
