"""Healing without gradients: an assembled child's linear maps refitted to the states that the child itself makes.

The block library fits a variant to the parent's hidden states; in a child the layers below it have changed them. From
bottom to top, the last linear map of each subblock is fitted to bring the child's state back to the parent's: with the
features f_t that the child gives the map and the states x_t before the subblock, least squares of

    sum_t w_t |(h_t - x_t) - W f_t|^2,     w_t = 1 / |parent's state behind the layer|^2,

where h_t is the parent's state behind the subblock. The ridge draws W towards its present weights, and the ridge of
each map, or none, is the one of least error on held-out windows. Where a norm or a factor stands between subblock and
state, what the parent's subblock returns takes the place of h_t - x_t. Derived here; not in the paper.

One pass of parent and child over the text, a layer and some windows of it in memory. Shapes: B windows, T tokens,
D hidden size, F features.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle.library import least_squares
from tessera.puzzle.library.activations import StoredStates, store
from tessera.puzzle.library.build import TINY
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Calls, Layer, Recorder
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.params import BATCH, RefitParams

#: States between the subblocks and behind a layer: the subblock that is left out to get there.
LEFT_OUT: dict[str, dict[str, None]] = {"attention": {"ffn": None}, "ffn": {"attention": None}}


@dataclass(frozen=True)
class Fit:
    """One linear map: its held-out error before and after, relative to that of a map to zero."""

    layer: int
    subblock: str
    replaced: bool
    """Whether the subblock is a variant, and not the parent's own."""
    ridge: float | None
    """None: no ridge lowers the error, and the map stays as it was."""
    before: float
    after: float


@torch.no_grad()
def refit(
    parent: LanguageModel,
    child: LanguageModel,
    tokens: Tensor,
    valid: int,
    params: RefitParams,
    scratch: Path,
    mask: Tensor | None = None,
    track: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> list[Fit]:
    """Refit the child, in place, on tokens (windows, T), of which the last `valid` windows are held out.

    scratch is a directory for hidden states, as large as four of the text and a layer's features; mask (windows, T) has
    the tokens that count, None for all; track wraps the loop over layers. Layers below the first replaced subblock stay
    as they are. Raises ValueError if there is no window to learn from, or as least_squares.solve.
    """
    if not 0 < valid < len(tokens):
        raise ValueError(f"{len(tokens)} windows, of which {valid} are held out; expected some of both")
    blocks = getattr(child.config, BLOCKS)
    run = _Run(parent, child, tokens.shape[1], len(tokens) - valid, valid, params.ridges, mask)
    fits: list[Fit] = []
    place = scratch / "inputs"
    place.mkdir()
    shape = (*tokens.shape, parent.hidden_size)
    before = store(place / "parent.npy", shape, (parent.inputs(part)[0] for part in tokens.split(BATCH)))
    own, replaced = before, False
    for index in track(range(len(parent.layers))):
        following = scratch / str(index)
        following.mkdir()
        layer = parent.layer(index)
        middle = store(following / "middle.npy", shape, run.behind(layer, run.calls, "attention", before))
        after = store(following / "after.npy", shape, run.behind(layer, run.calls, "ffn", middle))
        for subblock, start, target in (("attention", before, middle), ("ffn", middle, after)):
            part = blocks[index][subblock]
            replaced = replaced or bool(part)
            if not replaced:
                own = target  # the child is still its parent
                continue
            if name := _last(layer, subblock, part):
                states = start if layer.anatomy[subblock].altered else target
                fit, moved = run.fitted(index, subblock, name, own, states, after, following)
                fits.append(fit)
            else:
                moved = run.behind(child.layer(index), run.child_calls, subblock, own)
            own = store(following / f"child_{subblock}.npy", shape, moved)
        shutil.rmtree(place)
        before, place = after, following
    return fits


def _last(layer: Layer, subblock: str, part: Mapping[str, Any]) -> str | None:
    """Name of the linear map that ends a child's subblock of some PART (see modeling_child); None if there is none."""
    return {"no_op": None, "linear": "linear"}.get(part.get("kind", "own"), layer.anatomy[subblock].last)


class _Run:
    """What all fits of a child share."""

    def __init__(
        self,
        parent: LanguageModel,
        child: LanguageModel,
        length: int,
        train: int,
        valid: int,
        ridges: Sequence[float],
        mask: Tensor | None,
    ) -> None:
        self.parent, self.child, self.ridges = parent, child, ridges
        self.calls, self.child_calls = parent.calls(length), child.calls(length)
        self.mask = None if mask is None else mask.to(child.device)
        ends = (0, train, train + valid)
        #: Windows that pass at once, and whether they are held out.
        self.parts = [
            (slice(i, min(i + BATCH, end)), held_out)
            for begin, end, held_out in ((*ends[:2], False), (*ends[1:], True))
            for i in range(begin, end, BATCH)
        ]

    def behind(self, layer: Layer, calls: Calls, subblock: str, before: StoredStates) -> Iterator[Tensor]:
        """States behind a layer's subblock, from those before it."""
        return (layer(before[part], calls, **LEFT_OUT[subblock]) for part, _ in self.parts)

    def fitted(
        self,
        index: int,
        subblock: str,
        name: str,
        own: StoredStates,
        states: StoredStates,
        after: StoredStates,
        scratch: Path,
    ) -> tuple[Fit, Iterator[Tensor]]:
        """Fit the map `name` of a subblock; return how well that went, and the child's states behind the subblock.

        own are the child's states before the subblock; states are the parent's behind it, or before it if its output is
        altered; after are the parent's behind the layer.
        """
        layer, parent = self.child.layer(index), self.parent.layer(index)
        module = layer.subblock(subblock)
        linear, altered = module.get_submodule(name), parent.anatomy[subblock].altered
        assert isinstance(linear, nn.Linear)
        moments = [Moments.empty(linear.in_features, linear.out_features, linear.weight.device) for _ in range(2)]

        def features() -> Iterator[Tensor]:
            for part, held_out in self.parts:
                x, state = own[part], states[part]
                f = layer.inner(subblock, x, self.child_calls, **LEFT_OUT[subblock]).features(module, name)
                # Features are where the layer is, states where the model begins.
                y, weight = (state - x).to(f.device), 1 / after[part].square().sum(-1).to(f.device)
                if altered:
                    y = parent.inner(subblock, state, self.calls, **LEFT_OUT[subblock]).of(parent.subblock(subblock))
                    added = (parent(state, self.calls, **LEFT_OUT[subblock]) - state).to(f.device)
                    weight = weight * added.square().sum(-1) / y.square().sum(-1).clamp_min(TINY)
                if linear.bias is not None:
                    y = y - linear.bias
                if self.mask is not None:
                    weight = weight * self.mask[part].to(f.device)
                moments[held_out].add(f.flatten(0, -2), y.flatten(0, -2), weight.flatten())
                yield f

        stored = store(scratch / f"features_{subblock}.npy", (*own.shape[:2], linear.in_features), features())
        fit = self._solved(linear, *moments)
        returns = layer.anatomy[subblock].returns

        def moved() -> Iterator[Tensor]:
            for part, _ in self.parts:
                out = linear(stored[part])
                given = Recorder(module, lambda *_, out=out, **__: (out, *[None] * (returns - 1)) if returns else out)
                yield layer(own[part], self.child_calls, **LEFT_OUT[subblock], **{subblock: given})

        return Fit(index, subblock, bool(getattr(self.child.config, BLOCKS)[index][subblock]), *fit), moved()

    def _solved(self, linear: nn.Linear, train: Moments, valid: Moments) -> tuple[float | None, float, float]:
        """Set the weights of least error on held-out text; the ridge that gave them, the error before and after."""
        start = linear.weight.T.double()
        before, best = valid.error(start), least_squares.choose(train, valid, self.ridges, [start])
        if best.error >= before:
            return None, before, before
        linear.weight.copy_(best.of(train).T)
        return best.ridge, before, best.error
