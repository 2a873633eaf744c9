"""Children measured against predictions: true KL on fixed text, and scores of two subblocks exchanged at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tessera.puzzle import text
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Calls
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores.divergence import Agreement
from tessera.puzzle.scores.replace_one import BATCH_TOKENS, by_window, hidden_states, summary

#: The modules of one layer that are exchanged together: attention and FFN, None for a no-op.
Pair = tuple[nn.Module | None, nn.Module | None]


class Reference:
    """A parent's last hidden states on some text, computed once, against which any number of children are measured."""

    @torch.no_grad()
    def __init__(
        self, parent: LanguageModel, tokens: Tensor, documents: np.ndarray, mask: Tensor | None = None
    ) -> None:
        """tokens (windows, T + 1) hold windows and the token after each; documents (windows,) number their text.

        mask (windows, T) has the positions that count, None for all.
        """
        self.parent, self.documents = parent, documents
        self.batches = text.batches(tokens, mask, max(1, BATCH_TOKENS // (tokens.shape[1] - 1)))
        self.last = [batch.counted(parent.last(batch.inputs)) for batch in self.batches]

    @torch.no_grad()
    def measure(self, child: LanguageModel) -> dict[str, Any]:
        """Means over tokens of kl_div, lm_loss and top1 with standard errors by document.

        by_window has their means of each window, the document that each is from and, if windows differ in it, the
        number of tokens.
        """
        windows: list[Agreement] = []
        for batch, last in zip(self.batches, self.last, strict=True):
            hidden = batch.counted(child.last(batch.inputs))
            (agreement,) = divergence.compare(self.parent.head, last, [(child.head, hidden)], batch.targets)
            windows += agreement.split(batch.sizes)
        series = by_window(windows) | {"document": self.documents.tolist()}
        return summary(windows, self.documents) | {"by_window": series}


def with_exchange(parent: LanguageModel, layer: int, pair: Pair, before: Tensor, calls: Calls) -> Tensor:
    """Last hidden states of the parent with one layer's subblocks exchanged, from the hidden states before it."""
    x = parent.layers[layer](before, calls, attention=pair[0], ffn=pair[1])
    for later in parent.layers[layer + 1 :]:
        x = later(x, calls)
    return x


@torch.no_grad()
def composed(
    parent: LanguageModel,
    pairs: Mapping[int, Mapping[str, Pair]],
    tokens: Tensor,
    documents: np.ndarray,
    track: Callable[[Sequence[int]], Iterable[int]] = iter,
    mask: Tensor | None = None,
) -> dict[int, dict[str, dict[str, Any]]]:
    """Scores of whole blocks: the parent with both subblocks of one layer exchanged, as score.score has it for one.

    pairs maps a layer to its blocks by name. Returns layer -> block -> metrics with standard errors by document.
    """
    collected: dict[tuple[int, str], list[Agreement]] = {}
    states = []
    for batch in text.batches(tokens, mask, max(1, BATCH_TOKENS // (tokens.shape[1] - 1))):
        before, _, calls = hidden_states(parent, batch.inputs)
        states.append((batch, before, calls))
    for layer in track(list(pairs)):
        for batch, before, calls in states:
            ends = [
                (parent.head, batch.counted(with_exchange(parent, layer, pair, before[layer], calls)))
                for pair in pairs[layer].values()
            ]
            last = batch.counted(before[-1])
            for name, agreement in zip(
                pairs[layer], divergence.compare(parent.head, last, ends, batch.targets), strict=True
            ):
                collected.setdefault((layer, name), []).extend(agreement.split(batch.sizes))
    scores: dict[int, dict[str, dict[str, Any]]] = {layer: {} for layer in pairs}
    for (layer, name), parts in collected.items():
        scores[layer][name] = summary(parts, documents)
    return scores
