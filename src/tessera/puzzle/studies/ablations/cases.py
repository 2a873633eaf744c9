"""Ablations: children chosen by other scores, spaces and methods, and of blocks that were made otherwise."""

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tessera.puzzle import search
from tessera.puzzle.library.activations import States, store
from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.blocks import Choice
from tessera.puzzle.models.model import LanguageModel
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.params import BATCH, LibraryParams
from tessera.puzzle.search import Solution, baselines, block_library, budgets
from tessera.puzzle.studies.ablations.params import CaseParams, Initialisation

#: Scores of which more is better.
BIGGER = ("top1",)


def with_cosine(scores: Mapping[int, Mapping], responses: Mapping[int, Mapping]) -> dict[int, dict[str, Any]]:
    """Scores by layer with `cosine` added, as the interactions' pass measured it; the parent's is 0."""
    found = {}
    for layer, parts in scores.items():
        found[layer] = {
            part: {
                name: dict(one) | {"cosine": 0.0 if name == PARENT else responses[layer][part][name]["cosine"]}
                for name, one in parts[part].items()
            }
            for part in ("attention", "ffn")
        }
    return found


def choose(
    scores: Mapping[int, Mapping[str, Any]],
    costs: pd.DataFrame,
    case: CaseParams,
    speedup: float,
    generator: np.random.Generator,
) -> Solution:
    """The child of one case, from scores by layer. Raises ValueError where it has no child within the budget."""
    library = block_library.make([scores[layer] for layer in sorted(scores)], costs)
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


def starting(params: LibraryParams, initialisation: Initialisation, tokens: int) -> LibraryParams:
    """The library's parameters with another initialisation and number of tokens.

    The paper's initialisation keeps the channels of largest contribution, its own rule; least squares keeps those that
    `params` says.
    """
    squares = initialisation == "least_squares"
    return params.model_copy(
        update={
            "initialisation": "least_squares" if squares else "paper",
            "selection": params.selection if squares else "contribution",
            "distillation": params.distillation.model_copy(update={"tokens": tokens}),
        }
    )


def blocks_of(
    parent: LanguageModel,
    architecture: Architecture,
    space: Space,
    params: LibraryParams,
    choice: Choice,
    train: Tensor,
    valid: Tensor,
    generator: Callable[[int, str], torch.Generator],
    scratch: Path,
    track: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Make the blocks of one child alone: yield each layer and its tensors, as a block library's file holds them.

    train and valid (windows, T) are tokens; generator(layer, variant) orders a variant's batches. Nothing of the parent
    may require a gradient. Hidden states around two layers at a time are in the directory scratch.
    """

    behind = scratch / "embedding"
    behind.mkdir()

    def embedded(name: str, text: Tensor) -> States:
        shape = (*text.shape, architecture.hidden_size)
        return store(behind / f"{name}.npy", shape, (parent.model.embed_tokens(part) for part in text.split(BATCH)))

    inputs, held_out = embedded("train", train), embedded("valid", valid)
    for layer, block in enumerate(track(choice)):
        attention, ffn = decompose(block)
        own = Space(
            attention={} if attention == PARENT else {attention: space.attention[attention]},
            ffn={} if ffn == PARENT else {ffn: space.ffn[ffn]},
        )
        place = scratch / str(layer)
        place.mkdir()
        order = partial(generator, layer)
        made = LayerLibrary(parent.model.layers[layer], architecture, own, params, inputs, held_out, order, place)
        yield layer, made.build()[0]
        inputs, held_out = made.train.after, made.valid.after
        shutil.rmtree(behind)
        behind = place


def mean_and_half(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean over seeds, and half of its 95 % interval by Student's t; null for a single seed."""
    from scipy import stats

    n = len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else None
    return float(np.mean(values)), half
