"""Replace-one-block scores by task accuracy: the parent with one subblock exchanged, on items with several choices.

As in scores/replace_one.py only the layers after the exchange are run, and as in scores/choices.py each prompt once,
with logits only at the tokens that choices follow. Accuracy moves in steps of one item, so the likelihood of the right
choice is a second score:

    choice_nll = -log(p_right / sum over choices of p),    p = exp(log-probability of a choice's tokens)

in nats an item. Scores are increments over the parent's, paired item by item: as for KL, the parent's are 0.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tessera.common import files
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores import choices
from tessera.puzzle.scores.choices import Tokens
from tessera.puzzle.scores.replace_one import Variants, exchanged, hidden_states, standard_error
from tessera.puzzle.scores.retention import Selection, correct

#: Scores that the search may sum; of both less is better.
OBJECTIVES = ("error", "choice_nll")


@dataclass(frozen=True)
class Question:
    """An item, and how it is decided whether its answer is right."""

    tokens: Tokens
    sizes: tuple[int, ...]
    """Bytes of each choice's text."""
    answer: int
    metric: str
    """Of `retention.METRICS`."""

    def judge(self, sums: Tensor) -> tuple[float, float]:
        """Whether the right choice is the likeliest, and its choice_nll; sums holds the choices' log-probabilities."""
        choices = sums[: len(self.sizes)]
        right = correct(choices.tolist(), self.sizes, self.answer, self.metric)
        return right, float(choices.logsumexp(0) - choices[self.answer])


def about(questions: Sequence[Question]) -> str:
    """Return all that defines the questions, as text, by which cached scores are distinguished."""
    rows = [[q.tokens.prompt, q.tokens.choices, q.sizes, q.answer, q.metric] for q in questions]
    return files.to_json(rows, indent=None)


def chosen(items: pd.DataFrame, selection: Mapping[str, Selection], counts: Mapping[str, int]) -> pd.DataFrame:
    """Return the first items of the half that chooses, as many of each set as counted, with the set's `metric`.

    items are indexed by set and index. Sets in which the parent is near chance are left out. Raises ValueError if a set
    has too few, or if no set is left.
    """
    parts = []
    for name, count in counts.items():
        half = items[(items.index.get_level_values("set") == name) & (items.index.get_level_values("index") % 2 == 0)]
        if len(half) < count:
            raise ValueError(
                f"task_scores.items.{name} = {count}: the half that chooses has only {len(half)}; choose fewer, or a "
                f"larger number in tasks.groups"
            )
        if selection[name].kept:
            parts.append(half.iloc[:count].assign(metric=selection[name].metric))
    if not parts:
        raise ValueError(f"task_scores.items: the parent is near chance in all of {', '.join(counts)}")
    return pd.concat(parts)


@torch.no_grad()
def score(
    parent: LanguageModel,
    variants: Mapping[int, Variants],
    questions: Sequence[Question],
    track: Callable[[Sequence[tuple[int, int]]], Iterable[tuple[int, int]]] = iter,
) -> dict[int, dict[str, dict[str, dict[str, float | None]]]]:
    """Score the variants of some layers.

    variants maps a layer to {"attention": {variant: module}, "ffn": {...}}; track wraps the loop over batches and
    layers, to show progress. Returns layer -> subblock -> variant -> metrics (see `summary`), the parent's own under
    attention's "parent".
    """
    choices.check([question.tokens for question in questions])
    answers: dict[tuple[int, str, str], np.ndarray] = {}
    groups = choices.batches([len(question.tokens) for question in questions])
    for n, layer in track([(n, layer) for n in range(len(groups)) for layer in variants]):
        if layer == next(iter(variants)):
            batch = choices.arrange([questions[i].tokens for i in groups[n]])
            before, middle, calls = hidden_states(parent, batch.tokens, batch.positions, batch.seen)
            parents = batch.sums(parent, before[-1])
        sums = {("attention", PARENT): parents}
        for place, last in exchanged(parent, layer, variants[layer], before, middle, calls):
            sums[place] = batch.sums(parent, last)
        for (subblock, name), values in sums.items():
            rows = answers.setdefault((layer, subblock, name), np.empty((len(questions), 2)))
            rows[groups[n]] = [questions[i].judge(row) for i, row in zip(groups[n], values, strict=True)]
    scores: dict[int, dict[str, dict[str, dict[str, float | None]]]] = {}
    for (layer, subblock, name), rows in answers.items():
        reference = answers[layer, "attention", PARENT]
        scores.setdefault(layer, {"attention": {}, "ffn": {}})[subblock][name] = summary(rows, reference)
    return scores


def summary(answers: np.ndarray, parent: np.ndarray) -> dict[str, Any]:
    """accuracy; error and choice_nll less the parent's; each with its standard error over items (_se).

    answers and parent (items, 2) hold whether each item is answered right, in [0, 1], and its choice_nll.
    """
    values = {
        "accuracy": answers[:, 0],
        "error": parent[:, 0] - answers[:, 0],
        "choice_nll": answers[:, 1] - parent[:, 1],
    }
    means: dict[str, Any] = {}
    for metric, by_item in values.items():
        means[metric] = float(by_item.mean())
        means[f"{metric}_se"] = standard_error(by_item, np.arange(len(by_item)))
    return means
