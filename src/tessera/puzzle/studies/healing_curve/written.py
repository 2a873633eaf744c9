"""Training text that a parent writes itself: beginnings of training documents, gone on with by drawing its tokens."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch

from tessera.common import randomness
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.generate import generate
from tessera.puzzle.studies.healing_curve.params import WrittenParams

#: Source of the documents that a parent writes.
SOURCE = "written"


def beginnings(stream: np.ndarray, documents: pd.DataFrame, count: int, length: int, seed: int) -> np.ndarray:
    """The first `length` tokens (count, length) of training documents, drawn without repeats as long as they last.

    stream (tokens,) and documents are those of the training split (see data.tokens.load). Raises ValueError if no
    document is long enough.
    """
    long = documents[documents["length"] >= length]
    if long.empty:
        raise ValueError(f"no training document has {length} tokens, as many as written.prompt asks for")
    generator = randomness.generator(seed, "puzzle", "healing_curve", "beginnings")
    rounds = -(-count // len(long))
    order = np.concatenate([generator.permutation(len(long)) for _ in range(rounds)])[:count]
    offsets = long["offset"].to_numpy()[order]
    return stream[offsets[:, None] + np.arange(length)]


def write(
    parent: LanguageModel,
    prompts: np.ndarray,
    length: int,
    params: WrittenParams,
    seed: int,
    track: Callable[[list[int]], Iterable[int]] = iter,
) -> np.ndarray:
    """Pieces (count, length) int32 that begin with prompts (count, P); the same seed gives the same text."""
    pieces = []
    for start in track(list(range(0, len(prompts), params.batch))):
        some = torch.from_numpy(prompts[start : start + params.batch].astype(np.int64))
        draws = randomness.seed(seed, "puzzle", "healing_curve", "written", str(start))
        added = generate(parent, some.to(parent.device), length - prompts.shape[1], params.temperature, draws)
        pieces.append(torch.cat([some, added.cpu()], 1).numpy().astype(np.int32))
    return np.concatenate(pieces)
