"""Ablations: blocks from other initialisations, and children chosen by other scores, spaces and methods."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from tessera.puzzle import baselines, block_library, budgets, search
from tessera.puzzle.ablations_params import CaseParams
from tessera.puzzle.library import LayerLibrary
from tessera.puzzle.search import Solution
from tessera.puzzle.space import PARENT, decompose

#: Scores of which more is better.
BIGGER = ("top1",)


class RandomLibrary(LayerLibrary):
    """A layer's variants from random weights: what the paper's initialisation is worth.

    Matrices are Gaussian with the variance that keeps a vector's mean square, 1 / inputs; biases are 0, gains 1. The
    record's "paper" is the loss of the random weights.
    """

    def _made(
        self,
        name: str,
        module: nn.Module | None,
        forward: Callable[[Tensor], Tensor],
        place: str,
        least_squares: Callable[[], None],
    ) -> tuple[str, nn.Module | None, dict]:
        if module is not None:
            generator = self.generator(f"random {name}")
            with torch.no_grad():
                for p in module.parameters():
                    if p.ndim > 1:
                        p.normal_(0, 1 / math.sqrt(p.shape[1]), generator=generator)
        return super()._made(name, module, forward, place, least_squares)


def with_cosine(scores: Mapping[int, Mapping], responses: Mapping[int, Mapping]) -> list[dict[str, Any]]:
    """Scores by layer with `cosine` added, as the interactions' pass measured it; the parent's is 0."""
    found = []
    for layer in sorted(scores):
        parts: dict[str, Any] = {}
        for part in ("attention", "ffn"):
            parts[part] = {
                name: dict(one) | {"cosine": 0.0 if name == PARENT else responses[layer][part][name]["cosine"]}
                for name, one in scores[layer][part].items()
            }
        found.append(parts)
    return found


def choose(
    scores: list[dict[str, Any]], costs: pd.DataFrame, case: CaseParams, speedup: float, generator: np.random.Generator
) -> Solution:
    """The child of one case. Raises ValueError where the case has no child within the budget."""
    library = block_library.make(scores, costs)
    limits = {budgets.RUNTIME: budgets.runtime_for_speedup(library, speedup)}
    if case.kept is not None:
        kept = {PARENT, *case.kept}
        library = {la: {v: e for v, e in vs.items() if set(decompose(v)) <= kept} for la, vs in library.items()}
    objective = f"metrics.{case.score}"
    if case.method == "mip":
        found = search.solve(library, objective, limits, bigger_is_better=case.score in BIGGER)
    else:
        if case.score in BIGGER:
            raise ValueError(f"the score {case.score} is for method mip, not {case.method}")
        found = baselines.choose(case.method, library, objective, limits, {}, generator=generator)
    if not found.choice:
        raise ValueError(
            f"method {case.method} on this space has no child at {speedup:g} times the parent's throughput"
        )
    return found


def spread(values: list[float]) -> dict[str, float | None]:
    """Mean over seeds, and half of its 95 % interval by Student's t; null for a single seed."""
    from scipy import stats

    n = len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else None
    return {"mean": float(np.mean(values)), "half": half}
