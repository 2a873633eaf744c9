"""Coupled blockwise distillation: pairs of variants that survive a first search learn together, for a second search.

Decoupled, an FFN variant learns after the parent's attention, an attention variant before the parent's FFN. Composed,
each meets what it has never seen; most of all an FFN after a dropped attention. Coupled, both subblocks A, F of a pair
imitate the output o of the parent's block together, from the parent's own hidden states x before it:

    h = x + A(norm x),    o_child = h + F(norm h),    loss = mean_t |o_t - o_child,t|^2 / |o_t|^2

First the last linear map of the pair, mostly F's down projection, is refitted in closed form to the residual o - h. A
ridge draws it towards the decoupled weights, from which there is less to learn than from 0; of several ridges the best
on held-out text is used. Then both are trained by gradient. A step that does not lower the held-out loss is taken back.
There is no refit where it has no closed form: behind a norm, or if the subblock does not end with a linear map.
A block of coupled subblocks is named ATTENTION+FFN coupled; block libraries hold it next to ATTENTION+FFN.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle import child
from tessera.puzzle.child import OWN, Choice
from tessera.puzzle.library import initialise
from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.library.initialise import Batches
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models import variants
from tessera.puzzle.models.anatomy import SUBBLOCKS
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.modeling_child import Exchange
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.scores.reference import Pair

MARK = " coupled"


def plain(block: str) -> str:
    """Return the name of a block without the mark of coupled ones."""
    return block.removesuffix(MARK)


def is_coupled(block: str) -> bool:
    """Return whether a block consists of subblocks that were trained together."""
    return block.endswith(MARK)


def can_be_coupled(pair: str, space: Space) -> bool:
    """Return whether decoupled distillation has left something of a pair to be learnt.

    It has not if the attention is the parent's, after which the FFN was distilled, nor if both subblocks are no-ops.
    """
    attention, ffn = decompose(pair)
    kinds = space.attentions()[attention].kind, space.ffns()[ffn].kind
    return attention != PARENT and kinds != ("no_op", "no_op")


class Coupling(LayerLibrary):
    """Trains pairs of variants of one layer together.

    `params` are the library's with this study's schedule of training; text and held-out text are the library's own.
    """

    def couple(self, name: str, pair: Pair, ridges: Sequence[float]) -> dict[str, Any]:
        """Train a pair in place.

        The record has held-out losses: decoupled, refitted (with the best of the ridges, even if it is not kept) and
        trained; and in `kept` the last phase that lowered them. Raises ValueError if both subblocks are no-ops.
        """
        both, exchanged = nn.ModuleList(m for m in pair if m is not None), dict(zip(SUBBLOCKS, pair, strict=True))
        if not both:
            raise ValueError("a pair of two no-ops has nothing to train")

        def forward(x: Tensor) -> Tensor:
            return self.layer(x, self.calls, **exchanged)

        def losses() -> dict:
            return self.losses(forward, self.valid.before)

        record: dict[str, Any] = {"parameters": sum(p.numel() for p in both.parameters()), "decoupled": losses()}
        record["kept"], best = "decoupled", record["decoupled"]
        if last := self.last(*pair):
            linear, moments = last
            decoupled = linear.weight.T.double()
            for ridge in ridges:
                tried, better = self.tried(
                    both, partial(initialise.fit, linear, moments, ridge, decoupled), losses, best
                )
                if better:
                    record["kept"], best = "refitted", tried
                if "refitted" not in record or tried[self.params.loss] < record["refitted"][self.params.loss]:
                    record |= {"refitted": tried, "ridge": ridge}
        if self.params.distillation.tokens:

            def train() -> None:
                record["training"] = self.distilled(name, both, forward, self.train.before)

            record["trained"], better = self.tried(both, train, losses, best)
            if better:
                record["kept"] = "trained"
        return record

    @torch.no_grad()
    def last(self, attention: nn.Module | None, ffn: nn.Module | None) -> tuple[nn.Linear, Moments] | None:
        """A pair's last linear map, and moments of its features and of what the parent's output lacks before it.

        None if what it returns is altered, or if the pair does not end with a linear map.
        """
        subblock, module, other = ("attention", attention, "ffn") if ffn is None else ("ffn", ffn, "attention")
        name = "linear" if isinstance(module, Exchange) else self.layer.anatomy[subblock].last
        if name is None or module is None or self.layer.anatomy[subblock].altered:
            return None

        def batches() -> Batches:
            for x, _, o, mask in self.train.batches():
                h = x if ffn is None else self.layer(x, self.calls, attention=attention, ffn=None)
                weight = self.weight(torch.ones_like(o[..., 0]), o, mask)
                yield self.layer.inner(subblock, h, self.calls, **{other: None}), o - h, weight

        return module.get_submodule(name), initialise.moments(module, name, batches())


def tensors(pair: str, modules: Pair) -> dict[str, Tensor]:
    """Tensors of a coupled pair, keyed ATTENTION+FFN/subblock/parameter as in the files of a coupled library."""
    return {
        f"{pair}/{part}/{key}": value.contiguous()
        for part, module in zip(SUBBLOCKS, modules, strict=True)
        if module is not None
        for key, value in module.state_dict().items()
    }


def subblocks(parent: LanguageModel, space: Space, library: Sequence[Path], layer: int, pair: str) -> Pair:
    """Attention and FFN of a coupled pair ATTENTION+FFN, from the directories of a coupled library."""
    whole, path = parent.layer(layer), child.layer_file(library, layer)
    attention, ffn = (
        child.subblock(whole, parent.config, variant, f"{pair}/{place}", path)
        for place, (_, variant) in child.variants_in(space, layer, pair).items()
    )
    return attention, ffn


def assemble(
    parent: LanguageModel, space: Space, library: Sequence[Path], coupled_library: Sequence[Path], choice: Choice
) -> LanguageModel:
    """Return a child as child.assemble does, with coupled blocks where the choice has them.

    The parent's own variant is another module in a coupled block.
    """
    replaced: dict[tuple[int, str], tuple[nn.Module | None, dict[str, Any]]] = {}
    for layer, block in zip(parent.layers, choice, strict=True):
        coupled, pair = is_coupled(block), plain(block)
        where = (parent, space, coupled_library if coupled else library, layer.index, pair)
        modules = subblocks(*where) if coupled else child.subblocks(*where)
        named = child.variants_in(space, layer.index, pair)
        for (place, (name, variant)), module in zip(named.items(), modules, strict=True):
            if coupled or name != PARENT:
                replaced[layer.index, place] = module, variants.part(layer, parent.config, variant) or OWN
    return child.exchanged(parent, replaced)
