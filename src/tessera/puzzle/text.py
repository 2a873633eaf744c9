"""Text that models read, and which of its predictions count.

Of conversations with `loss: answers` only the tokens of the assistant are learnt from, scored and evaluated, given all
that stands before them. So a mask (windows, T) goes with the tokens: whether position t counts, where token t + 1 is
predicted; None if all do. Every loss takes the counted positions out of the states (`counted`) before it takes a mean.
A mean over windows is one over all their counted positions. Shapes: B windows, T positions, N counted positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tessera.data.tokens import windows


@dataclass(frozen=True)
class Text:
    """Windows of text."""

    tokens: Tensor
    """(windows, T + 1) int64, the last one predicted alone; (windows, T) of calibration text."""
    mask: Tensor | None
    """(windows, T) bool, which positions count; None if all do."""
    document: np.ndarray
    """(windows,) int64, number of the document that a window begins in."""
    source: np.ndarray
    """(windows,) str, of that document."""

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, chosen: np.ndarray) -> "Text":
        """The windows that an array numbers."""
        mask = None if self.mask is None else self.mask[chosen]
        return Text(self.tokens[chosen], mask, self.document[chosen], self.source[chosen])


def read(
    directory: Path,
    split: str,
    window: int,
    count: int,
    seed: int,
    sources: Sequence[str] | None = None,
    target: bool = True,
) -> Text:
    """Windows of T = window positions of a split, chosen as `tokens.windows` does.

    target: with the token after each. Without it the last position counts if the token that follows it in the stream
    does, though no window shows that token.
    """
    text = windows(directory, split, window + target, count, seed, sources)
    mask = None if text.mask is None else torch.from_numpy(text.mask[:, :window])
    return Text(torch.from_numpy(text.tokens).long(), mask, text.document, text.source)


def joined(texts: Sequence[Text]) -> Text:
    """Several texts as one; where some have a mask, all of the others count."""
    masks = [
        torch.ones(len(text), texts[0].tokens.shape[1] - 1, dtype=torch.bool) if text.mask is None else text.mask
        for text in texts
    ]
    return Text(
        torch.cat([text.tokens for text in texts]),
        None if all(text.mask is None for text in texts) else torch.cat(masks),
        np.concatenate([text.document for text in texts]),
        np.concatenate([text.source for text in texts]),
    )


def counted(values: Tensor, mask: Tensor | None) -> Tensor:
    """The values (N, ...) of the positions that count, of all (B, T, ...)."""
    return values.flatten(0, 1) if mask is None else values[mask]


def check(mask: Tensor | None) -> None:
    """Raise ValueError if a window of a mask (windows, T) has no position that counts."""
    if mask is not None and (empty := int((~mask.any(1)).sum())):
        raise ValueError(f"{empty} of {len(mask)} windows have no position that counts; leave them out")


@dataclass(frozen=True)
class Batch:
    """Windows that pass through the models at once."""

    tokens: Tensor
    """(B, T + 1)."""
    mask: Tensor | None
    """(B, T)."""

    @property
    def inputs(self) -> Tensor:
        """Tokens (B, T) that are read."""
        return self.tokens[:, :-1]

    @property
    def targets(self) -> Tensor:
        """Tokens (N,) whose prediction counts."""
        return self.counted(self.tokens[:, 1:])

    def counted(self, values: Tensor) -> Tensor:
        """See `counted`."""
        return counted(values, self.mask)

    @property
    def sizes(self) -> list[int]:
        """Counted positions of each window, N together."""
        B, T = self.inputs.shape
        return [T] * B if self.mask is None else self.mask.sum(1).tolist()


def batches(tokens: Tensor, mask: Tensor | None, size: int) -> list[Batch]:
    """Windows (windows, T + 1), `size` at a time. Raises ValueError if a window has no position that counts."""
    check(mask)
    parts = tokens.split(size)
    masks = [None] * len(parts) if mask is None else mask.split(size)
    return [Batch(*pair) for pair in zip(parts, masks, strict=True)]
