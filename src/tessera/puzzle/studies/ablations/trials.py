"""Trials of blockwise distillation: one variant from one initialisation over numbers of tokens, its work counted."""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tessera.puzzle.library import distill
from tessera.puzzle.library.build import LayerLibrary, Parts
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.studies.ablations.params import Initialisation

aten = torch.ops.aten


def _cholesky(shape: Sequence[int], *_: Any, **__: Any) -> int:
    return shape[-1] ** 3 // 3


def _cholesky_solve(right: Sequence[int], factor: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * factor[-1] ** 2 * right[-1]


def _cholesky_inverse(shape: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * shape[-1] ** 3 // 3


def _solve(left: Sequence[int], right: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * left[-1] ** 3 // 3 + 2 * left[-1] ** 2 * right[-1]


#: FLOPs of what torch's counter, which knows products of matrices, leaves out: leading terms, by shapes.
FACTORISATIONS = {
    aten.linalg_cholesky_ex: _cholesky,
    aten.cholesky_solve: _cholesky_solve,
    aten.cholesky_inverse: _cholesky_inverse,
    aten._linalg_solve_ex: _solve,
}


def counter() -> FlopCounterMode:
    """A context that counts the floating-point operations of products, factorisations and solutions within."""
    return FlopCounterMode(display=False, custom_mapping=FACTORISATIONS)


class Trials(LayerLibrary):
    """A layer's variants, each distilled from the same initialisation over every number of tokens.

    A variant's record is {"parameters", "trials": [{"tokens", "flops", "initial", "distilled"}]}: held-out losses
    before and after, and the work to make the variant by itself, which is the selection of channels and least squares
    over the training text, and the steps of gradient. The parent's own activations, which all need, and held-out losses
    are not counted.

    Random matrices are Gaussian with the variance that keeps a vector's mean square, 1 / inputs; biases are 0, gains 1.
    """

    def run(self, initialisation: Initialisation, tokens: Sequence[int]) -> Iterator[tuple[str, dict]]:
        """Yield subblock.variant and its record for every variant that has parameters."""
        whole, self.initialisation, self.tokens = self.space, initialisation, tokens
        singles = [Space(attention={name: variant}, ffn={}) for name, variant in whole.attention.items()]
        singles += [Space(attention={}, ffn={name: variant}) for name, variant in whole.ffn.items()]
        for self.space in singles:
            with counter() as self.counter:
                records = self.build()[1]
            yield from ((name, record) for name, record in records.items() if record["parameters"])
        self.space = whole

    def _built(
        self, name: str, variant: Attention | FFN, module: nn.Module | None, last: str | None, moments: Parts | None
    ) -> tuple[str, nn.Module | None, dict]:
        if module is None:
            return name, None, {"parameters": 0}
        subblock, _, _ = name.partition(".")
        place, others = ("before", {}) if subblock == "attention" else ("middle", {"attention": None})

        def forward(x: Tensor) -> Tensor:
            return self.layer(x, self.calls, **others, **{subblock: module})

        def losses() -> dict:
            return self.losses(forward, getattr(self.valid, place))

        if self.initialisation == "random":
            self._randomise(name, module)
            begun = 0
        elif self.initialisation == "paper" and moments is not None:
            begun = self._contribution()
        else:
            if self.initialisation == "least_squares":
                self._fit(subblock, variant, module, last, moments)
            begun = self.counter.get_total_flops()
        start, initial, trials = copy.deepcopy(module.state_dict()), losses(), []
        for tokens in self.tokens:
            module.load_state_dict(start)
            before = self.counter.get_total_flops()
            if tokens:
                distill.train(
                    module,
                    forward,
                    getattr(self.train, place),
                    self.train.after,
                    self.params.distillation.model_copy(update={"tokens": tokens}),
                    self.params.loss,
                    self.generator(name),
                    self.train.mask,
                )
            flops = begun + self.counter.get_total_flops() - before
            trials.append({"tokens": tokens, "flops": flops, "initial": initial, "distilled": losses()})
        return name, module, {"parameters": sum(p.numel() for p in module.parameters()), "trials": trials}

    def _randomise(self, name: str, module: nn.Module) -> None:
        generator = self.generator(f"random {name}")
        with torch.no_grad():
            for part in module.modules():
                for key, p in part.named_parameters(recurse=False):
                    if p.ndim > 1:
                        p.normal_(0, 1 / math.sqrt(p.shape[-1]), generator=generator)
                    else:
                        p.zero_()
                        # Norms of some families multiply by 1 + weight.
                        if key != "bias" and not part(torch.ones_like(p)).any():
                            p.fill_(1.0)

    def _contribution(self) -> int:
        """FLOPs of the paper's choice of channels: one pass of the maps before the FFN's last, such as gate and up.

        What was counted is more, because the library takes it from moments that least squares needs.
        """
        last, (windows, T, _) = self.layer.anatomy["ffn"].last, self.train.before.shape
        maps = self.layer.subblock("ffn").named_modules()
        weights = [part.weight.numel() for name, part in maps if isinstance(part, nn.Linear) and name != last]
        return 2 * windows * T * sum(weights)
