"""Ablations: children chosen by other scores, spaces and methods, and made of other blocks."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tessera.common import files
from tessera.puzzle import search
from tessera.puzzle.child import Choice, assemble
from tessera.puzzle.library.activations import States, store
from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.models.anatomy import SUBBLOCKS
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.params import BATCH, LibraryParams
from tessera.puzzle.search import Solution, baselines, block_library, budgets
from tessera.puzzle.studies.ablations.params import CaseParams, Initialisation, OwnBlocksParams
from tessera.puzzle.text import Text

#: Scores of which more is better.
BIGGER = ("top1",)


def with_cosine(scores: Mapping[int, Mapping], responses: Mapping[int, Mapping]) -> dict[int, dict[str, Any]]:
    """Return scores by layer with `cosine` added, as measured with the interactions; the parent's is 0."""
    return {
        layer: {
            part: {
                name: dict(metrics) | {"cosine": 0.0 if name == PARENT else responses[layer][part][name]["cosine"]}
                for name, metrics in parts[part].items()
            }
            for part in ("attention", "ffn")
        }
        for layer, parts in scores.items()
    }


def choose(
    scores: Mapping[int, Mapping[str, Any]],
    costs: pd.DataFrame,
    case: CaseParams,
    speedup: float,
    generator: np.random.Generator,
) -> Solution:
    """Return the child of one case, from scores by layer. Raises ValueError if it has none within the budget."""
    library = block_library.make([scores[layer] for layer in sorted(scores)], costs)
    limits = {budgets.RUNTIME: budgets.runtime_for_speedup(library, speedup)}
    if case.kept is not None:
        kept = {PARENT, *case.kept}
        library = {la: {v: e for v, e in vs.items() if set(decompose(v)) <= kept} for la, vs in library.items()}
    objective = f"metrics.{case.score}"
    if case.method == "mip":
        child = search.solve(library, objective, limits, bigger_is_better=case.score in BIGGER)
    else:
        if case.score in BIGGER:
            raise ValueError(f"the score {case.score} is only for method mip, not {case.method}")
        child = baselines.choose(case.method, library, objective, limits, {}, generator=generator)
    if not child.choice:
        raise ValueError(
            f"method {case.method} on this space has no child at {speedup:g} times the parent's throughput"
        )
    return child


def starting(params: LibraryParams, initialisation: Initialisation, tokens: int) -> LibraryParams:
    """Return the library's parameters with another initialisation and number of tokens.

    The paper's initialisation keeps the channels of largest contribution, its own rule; least squares keeps those
    that `params` selects.
    """
    squares = initialisation == "least_squares"
    return params.model_copy(
        update={
            "initialisation": "least_squares" if squares else "paper",
            "selection": params.selection if squares else "contribution",
            "distilled": SUBBLOCKS,
            "distillation": params.distillation.model_copy(update={"tokens": tokens}),
        }
    )


def blocks_of(
    parent: LanguageModel,
    space: Space,
    params: LibraryParams,
    choice: Choice,
    train: Text,
    valid: Text,
    generator: Callable[[int, str], torch.Generator],
    scratch: Path,
    track: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Make the blocks of one child only: yield each layer and its tensors, as a block library's file holds them.

    train and valid are windows of T tokens, without the token after each; generator(layer, variant) orders a variant's
    batches. No tensor of the parent may require a gradient. Hidden states around two layers at a time are in the
    directory scratch.
    """

    behind = scratch / "embedding"
    behind.mkdir()

    def embedded(name: str, text: Tensor) -> States:
        shape = (*text.shape, parent.hidden_size)
        return store(behind / f"{name}.npy", shape, (parent.inputs(part)[0] for part in text.split(BATCH)))

    inputs, held_out = embedded("train", train.tokens), embedded("valid", valid.tokens)
    masks = train.mask, valid.mask
    for layer, block in enumerate(track(choice)):
        attention, ffn = decompose(block)
        single = Space(
            attention={} if attention == PARENT else {attention: space.attention[attention]},
            ffn={} if ffn == PARENT else {ffn: space.ffn[ffn]},
        )
        place = scratch / str(layer)
        place.mkdir()
        order = partial(generator, layer)
        builder = LayerLibrary(parent, layer, single, params, inputs, held_out, order, place, masks)
        yield layer, builder.build()[0]
        inputs, held_out = builder.train.after, builder.valid.after
        shutil.rmtree(behind)
        behind = place


def child_of(
    parent: LanguageModel,
    space: Space,
    library: Sequence[Path],
    params: LibraryParams,
    choice: Choice,
    blocks: OwnBlocksParams | None,
    texts: Callable[[], tuple[Text, Text]],
    generator: Callable[[int, str], torch.Generator],
    scratch: Path,
    track: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> LanguageModel:
    """Return a case's child: of the library's blocks, or of those that it makes from texts, for training and held out.

    The blocks that are made are written to the directory scratch.
    """
    if blocks is None:
        return assemble(parent, space, library, choice)
    start = starting(params, blocks.initialisation, blocks.tokens)
    layers = blocks_of(parent, space, start, choice, *texts(), generator, scratch, track)
    for layer, tensors in layers:
        files.save_tensors(scratch / f"layer_{layer}.safetensors", tensors)
    return assemble(parent, space, [scratch], choice)
