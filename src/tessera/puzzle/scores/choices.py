"""Log-probabilities of the choices of multiple-choice items, each prompt run once.

An item is one sequence, its prompt and then all its choices one after another. A mask lets a choice see the prompt and
itself alone, and its positions go on from the prompt's end: so each choice is read as if it stood there by itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tessera.puzzle.models.decoder import LanguageModel

#: Tokens, padding among them, that pass through a model at once.
BATCH_TOKENS = 1024


@dataclass(frozen=True)
class Tokens:
    """An item as tokens. Both the prompt and every choice have one or more."""

    prompt: list[int]
    choices: list[list[int]]

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.choices))


@dataclass(frozen=True)
class _Packed:
    """An item as one sequence of T tokens, each array (T,)."""

    tokens: np.ndarray
    positions: np.ndarray
    branch: np.ndarray
    """0 of the prompt, 1 + the choice's index of a choice."""
    source: np.ndarray
    """Where the token that predicts this one stands; -1 for the prompt's."""


def _pack(item: Tokens) -> _Packed:
    P = len(item.prompt)
    tokens, positions, branch, source = list(item.prompt), list(range(P)), [0] * P, [-1] * P
    for index, choice in enumerate(item.choices):
        begin = len(tokens)
        source += [P - 1, *range(begin, begin + len(choice) - 1)]
        positions += range(P, P + len(choice))
        branch += [index + 1] * len(choice)
        tokens += choice
    return _Packed(*(np.array(part, np.int64) for part in (tokens, positions, branch, source)))


def batches(sizes: Sequence[int], tokens: int = BATCH_TOKENS) -> list[list[int]]:
    """Indices of items in batches of at most `tokens` with padding, or of one item; items of similar size together."""
    batches: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if batches and sizes[batches[-1][0]] * (len(batches[-1]) + 1) <= tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


@torch.no_grad()
def log_probabilities(
    model: LanguageModel,
    items: Sequence[Tokens],
    track: Callable[[Sequence[list[int]]], Iterable[list[int]]] = iter,
) -> list[list[float]]:
    """Sum over a choice's tokens of their log-probabilities, in nats, given the prompt; by item, then choice.

    track wraps the loop over batches, to show progress. Raises ValueError if a prompt or choice has no token, or an
    item no choice.
    """
    check(items)
    log_probabilities: list[list[float]] = [[] for _ in items]
    for indices in track(batches([len(item) for item in items])):
        batch = arrange([items[i] for i in indices])
        x = model.last(batch.tokens, batch.positions, batch.seen)
        for index, sums in zip(indices, batch.sums(model, x), strict=True):
            log_probabilities[index] = sums[: len(items[index].choices)].tolist()
    return log_probabilities


def check(items: Sequence[Tokens]) -> None:
    """Raise ValueError if a prompt or choice has no token, or an item no choice."""
    for index, item in enumerate(items):
        if not item.prompt or not item.choices or not all(item.choices):
            raise ValueError(f"item {index}: the prompt and each of its choices must have at least one token")


@dataclass(frozen=True)
class Batch:
    """B items as padded sequences of T tokens that pass through a model at once; padding sees nothing but itself."""

    tokens: Tensor
    """(B, T)."""
    positions: Tensor
    """(B, T)."""
    seen: Tensor
    """(B, 1, T, T), whether a token sees another."""
    items: Tensor
    """(N,) of each token of a choice: its item, its choice, itself, and below the row of `origins` that predicts it."""
    choices: Tensor
    targets: Tensor
    predicted: Tensor
    origins: Tensor
    """Places among the B T tokens. Choices begin after the same token: its logits are computed once."""

    @torch.no_grad()
    def sums(self, model: LanguageModel, last: Tensor) -> Tensor:
        """(B, most choices) float64 sums of log-probabilities, of last hidden states (B, T, D) before the final norm.

        0 if an item has fewer choices.
        """
        logits = model.head(last.flatten(0, 1)[self.origins]).float()
        total = logits.logsumexp(-1).double()
        values = logits[self.predicted, self.targets].double() - total[self.predicted]
        sums = torch.zeros(len(self.tokens), int(self.choices.max()) + 1, dtype=torch.float64)
        return sums.index_put((self.items, self.choices), values.cpu(), accumulate=True)


def arrange(items: Sequence[Tokens]) -> Batch:
    """Items as one batch."""
    packed = [_pack(item) for item in items]

    def padded(name: str, filler: int) -> Tensor:
        rows = [torch.from_numpy(getattr(item, name)) for item in packed]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler)

    tokens, positions = padded("tokens", 0), padded("positions", 0)
    branch, source = padded("branch", -1), padded("source", -1)
    T = tokens.shape[1]
    same = branch[:, :, None] == branch[:, None, :]
    prompt = (branch == 0)[:, None, :] & (branch >= 0)[:, :, None]
    mask = (same | prompt) & torch.ones(T, T, dtype=torch.bool).tril()
    row, place = torch.nonzero(source >= 0, as_tuple=True)
    origins, predicted = (row * T + source[row, place]).unique(return_inverse=True)
    targets = tokens[row, place]
    return Batch(tokens, positions, mask[:, None], row, branch[row, place] - 1, targets, predicted, origins)
