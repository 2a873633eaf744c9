"""KL of a child to second order: scores of its exchanged subblocks, and how their effects on the logits interact.

To second order in what the exchanges do to the logits, d_i for the i-th exchanged subblock,

    KL(parent || child) = 1/2 |sum_i d_i|^2 = sum_i s_i + sum_{i != j} c_ij sqrt(s_i s_j),      s_i = 1/2 |d_i|^2

in the metric of the parent's distribution, |d|^2 = Var_p(d), where c_ij is the cosine of two effects. The sum of scores
is the case c = 0: effects at right angles. Derived here; it is not in the paper. It takes effects to add up in the
logits, and exchanges to be small; `fitted` takes one cosine for each kind of pair, found from children that were run,
`measured` takes each pair's own cosine (interactions.py) and fits nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera.puzzle.models.space import PARENT, compose, decompose

SUBBLOCKS = ("attention", "ffn")
#: Kinds of pairs that share one fitted cosine, by how pairs are distinguished: where the two are (one layer,
#: neighbouring layers, others), or what they are.
GROUPINGS = {
    "neighbourhood": ("same_layer", "next_layer", "further"),
    "subblocks": ("attention_attention", "attention_ffn", "ffn_ffn"),
}

#: layer -> subblock -> variant -> metrics, as the scores' files have it.
Scores = Mapping[int, Mapping[str, Mapping[str, Mapping[str, float]]]]
Label = tuple[int, str, str]


def labels(scores: Scores) -> list[Label]:
    """(layer, subblock, variant) of every exchange, in order; the parent's own are left out."""
    return [
        (layer, subblock, variant)
        for layer in sorted(scores)
        for subblock in SUBBLOCKS
        for variant in sorted(scores[layer][subblock])
        if variant != PARENT
    ]


def roots(scores: Scores, metric: str = "kl_div") -> np.ndarray:
    """Square roots of the scores, in the order of labels; a score that noise made negative counts as 0."""
    return np.sqrt([max(0.0, scores[i][part][variant][metric]) for i, part, variant in labels(scores)])


def kind(first: Label, second: Label, grouping: str) -> str:
    """Which kind of a grouping a pair of exchanges is."""
    if grouping == "neighbourhood":
        return GROUPINGS[grouping][min(2, abs(first[0] - second[0]))]
    return "_".join(sorted((first[1], second[1])))


@dataclass(frozen=True)
class Quadratic:
    """KL of children as a quadratic form of their exchanges: Q (n, n) symmetric, its diagonal the scores."""

    labels: list[Label]
    Q: np.ndarray

    def predict(self, blocks: Sequence[str]) -> float:
        """Predicted KL of a child, one ATTENTION+FFN per layer. Raises ValueError if a variant is unknown."""
        chosen = self._chosen(blocks)
        return float(self.Q[np.ix_(chosen, chosen)].sum())

    def _chosen(self, blocks: Sequence[str]) -> list[int]:
        where = {label: n for n, label in enumerate(self.labels)}
        exchanged = [
            (layer, subblock, variant)
            for layer, block in enumerate(blocks)
            for subblock, variant in zip(SUBBLOCKS, decompose(block), strict=True)
            if variant != PARENT
        ]
        unknown = [label for label in exchanged if label not in where]
        if unknown:
            raise ValueError(f"no score for {' '.join(map(str, unknown[0]))}")
        return [where[label] for label in exchanged]

    def blocks(self, count: int) -> tuple[list[list[str]], np.ndarray]:
        """Names of the blocks of each layer, and the form over all of them, one after another."""
        names, rows = [], []
        for layer in range(count):
            parts = {part: [PARENT, *(v for i, p, v in self.labels if (i, p) == (layer, part))] for part in SUBBLOCKS}
            names.append([compose(a, f) for a in parts["attention"] for f in parts["ffn"]])
            rows += [self._indicator(layer, name) for name in names[-1]]
        T = np.array(rows)
        return names, T @ self.Q @ T.T

    def _indicator(self, layer: int, block: str) -> np.ndarray:
        parts = set(zip((layer, layer), SUBBLOCKS, decompose(block), strict=True))
        return np.array([label in parts for label in self.labels], float)


def measured(scores: Scores, gram: np.ndarray) -> Quadratic:
    """The form of measured interactions: gram (n, n) holds inner products of the effects in the order of labels."""
    size = np.sqrt(np.diagonal(gram).clip(min=np.finfo(float).tiny))
    root, names = roots(scores), labels(scores)
    if gram.shape != (len(names), len(names)):
        raise ValueError(
            f"interactions of {gram.shape[0]} exchanges, scores of {len(names)}; both must be of the same exchanges"
        )
    Q = gram / np.outer(size, size) * np.outer(root, root)
    return Quadratic(names, _exclusive(names, Q))


def fitted(scores: Scores, cosines: Mapping[str, float], grouping: str) -> Quadratic:
    """The form with one cosine for each kind of a grouping."""
    root, names = roots(scores), labels(scores)
    c = np.array([[1.0 if a == b else cosines[kind(a, b, grouping)] for b in names] for a in names])
    return Quadratic(names, _exclusive(names, c * np.outer(root, root)))


def _exclusive(names: list[Label], Q: np.ndarray) -> np.ndarray:
    """Two variants of one subblock never meet; their entry is 0."""
    same = np.array([[a[:2] == b[:2] and a != b for b in names] for a in names])
    return np.where(same, 0.0, (Q + Q.T) / 2)


def features(scores: Scores, blocks: Sequence[str], grouping: str) -> np.ndarray:
    """Sum of scores, then sum over ordered pairs of sqrt(s_i s_j) of each kind: what the fitted cosines multiply."""
    root, names = roots(scores), labels(scores)
    chosen = Quadratic(names, np.outer(root, root))._chosen(blocks)
    kinds = GROUPINGS[grouping]
    sums = [float((root[chosen] ** 2).sum()), *(0.0 for _ in kinds)]
    for n, i in enumerate(chosen):
        for j in chosen[n + 1 :]:
            sums[1 + kinds.index(kind(names[i], names[j], grouping))] += 2 * root[i] * root[j]
    return np.array(sums)


def fit(table: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Cosines (3,) that minimise the mean squared relative error of features (children, 4) against true KL (children,).

    Kinds that no child has keep the cosine 0.
    """
    A = table[:, 1:] / true[:, None]
    return np.linalg.lstsq(A, 1 - table[:, 0] / true, rcond=None)[0]


def held_out(table: np.ndarray, true: np.ndarray, folds: Sequence[Any]) -> np.ndarray:
    """Prediction of each child by cosines that were fitted on the children of all other folds."""
    predicted, labels = np.empty(len(true)), np.asarray([str(fold) for fold in folds])
    for fold in np.unique(labels):
        out = labels == fold
        if out.all():
            raise ValueError("all children are of one fold; cross-validation needs at least two")
        predicted[out] = table[out, 0] + table[out, 1:] @ fit(table[~out], true[~out])
    return predicted


def optimise(
    form: Quadratic, costs: np.ndarray, budget: float, starts: Sequence[Sequence[str]]
) -> tuple[list[str], float]:
    """Return a choice of least predicted KL within a budget, and that KL, by local search from several choices.

    costs (layers, blocks) are those of `form.blocks`; every start must be within the budget. Each step makes the best
    exchange of the blocks of one layer or of two at once, until none is better: no proof of optimality, but no pair of
    layers can improve the result. Raises ValueError if no start is within the budget.
    """
    count = len(costs)
    names, B = form.blocks(count)
    K, diagonal = len(names[0]), np.diagonal(B).copy()
    spent = np.asarray(costs, float).ravel()
    layer = np.arange(count * K) // K
    best: tuple[float, list[int]] | None = None
    for start in starts:
        now = np.array([i * K + names[i].index(block) for i, block in enumerate(start)])
        if spent[now].sum() > budget * (1 + 1e-9):
            continue
        while True:
            fields = B[:, now]  # of every block with each that is chosen
            same_layer = fields[np.arange(len(B)), layer]
            lone = diagonal + 2 * (fields.sum(1) - same_layer)
            gain = lone - lone[now][layer]
            cost = spent - spent[now][layer]
            room = budget * (1 + 1e-9) - spent[now].sum()
            cross = B - fields[:, layer] - fields.T[layer] + B[np.ix_(now, now)][np.ix_(layer, layer)]
            both = gain[:, None] + gain + 2 * cross
            both[(cost[:, None] + cost > room) | (layer[:, None] == layer)] = np.inf
            alone = np.where(cost > room, np.inf, gain)
            if min(both.min(), alone.min()) >= -1e-9 * diagonal[now].sum():
                break
            moved = [int(alone.argmin())] if alone.min() <= both.min() else np.unravel_index(both.argmin(), both.shape)
            for p in moved:
                now[layer[p]] = p
        value = float(B[np.ix_(now, now)].sum())
        if best is None or value < best[0] - 1e-9 * abs(best[0]):
            best = value, [int(p) for p in now]
    if best is None:
        raise ValueError(f"no start is within the budget of {budget:g}")
    return [names[i][p % K] for i, p in enumerate(best[1])], best[0]
