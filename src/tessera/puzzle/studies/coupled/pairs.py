"""Coupled blockwise distillation: pairs of variants that survive a first search learn together, for a second search.

Decoupled, an FFN variant learns after the parent's attention, an attention variant before the parent's FFN. Composed,
each meets what it has never seen; most of all an FFN after a dropped attention. Coupled, both subblocks A, F of a pair
imitate the output o of the parent's block together, from the parent's own hidden states x before it:

    h = x + A(norm x),    o_child = h + F(norm h),    loss = mean_t |o_t - o_child,t|^2 / |o_t|^2

First the last linear map of the pair, mostly F's down projection, is refitted in closed form to the residual o - h. A
ridge draws it towards the decoupled weights, from which there is less to learn than from 0; of several ridges the best
on held-out text is used. Then both are trained by gradient. A step that does not lower the held-out loss is taken back.
A block of coupled subblocks is named ATTENTION+FFN coupled; block libraries hold it next to ATTENTION+FFN.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tessera.puzzle import child
from tessera.puzzle.library import distill, initialise
from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.library.least_squares import Moments
from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models import blocks
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.blocks import Choice
from tessera.puzzle.models.model import LanguageModel
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.params import BATCH
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
        trained; and in `kept` the last phase that lowered them.
        """
        block = copy.deepcopy(self.layer)
        block.self_attn, block.mlp = pair
        both = nn.ModuleList(module for module in pair if module is not None)

        def forward(x: Tensor) -> Tensor:
            return block(x, self.rotary)

        def losses() -> dict:
            return asdict(distill.evaluate(forward, self.valid.before, self.valid.after, BATCH))

        record: dict[str, Any] = {"parameters": sum(p.numel() for p in both.parameters()), "decoupled": losses()}
        record["kept"], best = "decoupled", record["decoupled"]
        linear, moments = self.last(*pair)
        decoupled = linear.weight.clone()
        for ridge in ridges:
            tried, better = self.tried(both, partial(initialise.fit, linear, moments, ridge, decoupled), losses, best)
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
    def last(self, attention: nn.Module | None, ffn: nn.Module | None) -> tuple[nn.Linear, Moments]:
        """A pair's last linear map, and moments of its features and of what the parent's output lacks before it.

        Raises ValueError if both subblocks are no-ops.
        """
        first, second = self.layer.input_layernorm, self.layer.post_attention_layernorm
        assert first is not None and second is not None  # a parent's layer has both
        norm, module = (first, attention) if ffn is None else (second, ffn)
        if module is None:
            raise ValueError("a pair of two no-ops has nothing to train")

        def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
            for x, o in zip(self.train.before.split(BATCH), self.train.after.split(BATCH), strict=True):
                h = x if attention is None or ffn is None else x + attention(first(x), self.rotary)
                yield norm(h), o - h, self._weights(o)

        features, linear = initialise.last_map(module, self.rotary)
        return linear, initialise.moments(features, linear.bias, batches())


def tensors(pair: str, modules: Pair) -> dict[str, Tensor]:
    """Tensors of a coupled pair, keyed ATTENTION+FFN/subblock/parameter as in the files of a coupled library."""
    return {
        f"{pair}/{part}/{key}": value.contiguous()
        for part, module in zip(("attention", "ffn"), modules, strict=True)
        if module is not None
        for key, value in module.state_dict().items()
    }


def subblocks(
    parent: LanguageModel, architecture: Architecture, space: Space, library: Sequence[Path], layer: int, pair: str
) -> Pair:
    """Attention and FFN of a coupled pair ATTENTION+FFN, from the directories of a coupled library."""
    attention, ffn = blocks.block_specs(architecture, space, layer, pair)
    path = child.layer_file(library, layer)
    return (
        child.subblock(parent.spec, attention, f"{pair}/attention", path),
        child.subblock(parent.spec, ffn, f"{pair}/ffn", path),
    )


def assemble(
    parent: LanguageModel,
    directory: str | Path,
    space: Space,
    library: Sequence[Path],
    coupled_library: Sequence[Path],
    choice: Choice,
) -> LanguageModel:
    """Return a child as child.assemble does, with coupled blocks where the choice has them."""
    assembled = child.assemble(parent, directory, space, library, [plain(block) for block in choice])
    architecture = architectures.read(directory)
    for i, block in enumerate(choice):
        if is_coupled(block):
            layer = assembled.model.layers[i]
            layer.self_attn, layer.mlp = subblocks(parent, architecture, space, coupled_library, i, plain(block))
    return assembled
