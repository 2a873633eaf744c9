"""How much of a parent's accuracy above chance a child keeps, with paired bootstrap intervals over items.

    retention = (accuracy of the child - chance) / (accuracy of the parent - chance)

Sets, and the measure of the likeliest choice, are chosen on the parent's answers to one half of the items; all that is
reported is of the other half.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tessera.common.association import ENDS

#: How choices are compared: by the sum of their tokens' log-probabilities, or by that per byte of their text.
METRICS = ("sum", "per_byte")
#: Log-probabilities, in nats, that differ by less are equal: so much rounding differs between processors and batches.
TIE = 1e-4


def correct(values: Sequence[float], sizes: Sequence[int], answer: int, metric: str) -> float:
    """1 if the right choice is the likeliest, 0 if it is not, 1/n if it shares the maximum with n - 1 others.

    A choice shares it whose log-probability would have it if it were larger by TIE. values are the choices'
    log-probabilities in nats, sizes their bytes. Raises ValueError on another metric.
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r}; expected one of {', '.join(METRICS)}")
    units = np.asarray(sizes, float) if metric == "per_byte" else 1.0
    best = (np.asarray(values, float) + TIE) / units >= (np.asarray(values, float) / units).max()
    return float(best[answer]) / int(best.sum())


@dataclass(frozen=True)
class Selection:
    """What the parent's answers to the first half of a set's items say."""

    metric: str
    accuracy: float
    chance: float
    se: float
    """Standard error of accuracy - chance."""
    kept: bool
    """Whether the parent is clearly above chance."""


def select(by_metric: Mapping[str, np.ndarray], chance: np.ndarray, margin: float) -> Selection:
    """Choose the metric of the larger accuracy, the first if equal; keep the set if the parent is above chance.

    by_metric maps a metric to whether each item was answered right (n,), chance (n,) is the share that guesses get
    right. Kept is a set whose accuracy is `margin` standard errors or more above chance.
    """
    metric = max(by_metric, key=lambda name: by_metric[name].mean())
    right = by_metric[metric]
    above = right - chance
    se = float(above.std(ddof=1)) / math.sqrt(len(above)) if len(above) > 1 else math.inf
    kept = bool(above.mean() > 0 and above.mean() >= margin * se)
    return Selection(metric, float(right.mean()), float(chance.mean()), se, kept)


def right_answers(items: pd.DataFrame, answers: pd.DataFrame) -> dict[str, np.ndarray]:
    """Whether a model's answers are right, by metric, in the order of the items; NaN if it was not asked.

    items are indexed by set and index; answers are rows of set, index, choice and log_probability.
    """
    right = {metric: np.full(len(items), np.nan) for metric in METRICS}
    answered = answers.sort_values(["set", "index", "choice"], kind="stable")
    values = answered.groupby(["set", "index"])["log_probability"].agg(list)
    for place, (key, item) in enumerate(zip(items.index, items.itertuples(), strict=True)):
        if key in values.index:
            sizes = [len(choice.encode()) for choice in item.choices]
            for metric in METRICS:
                right[metric][place] = correct(values[key], sizes, item.answer, metric)
    return right


def selections(items: pd.DataFrame, right: Mapping[str, np.ndarray], margin: float) -> dict[str, Selection]:
    """`select` of every set, by the parent's right answers to its items of even index."""
    chooses = items.index.get_level_values("index").to_numpy() % 2 == 0
    names, chance = items.index.get_level_values("set").to_numpy(), items["chance"].to_numpy()
    selections = {}
    for name in dict.fromkeys(names):
        half = chooses & (names == name)
        selections[name] = select({metric: right[metric][half] for metric in METRICS}, chance[half], margin)
    return selections


@dataclass(frozen=True)
class Answers:
    """What all models answered to the n items of some sets."""

    sets: np.ndarray
    """(n,) str, the set of each item."""
    groups: np.ndarray
    """(n,) str, its group."""
    chance: np.ndarray
    """(n,) in (0, 1)."""
    right: Mapping[str, np.ndarray]
    """(n,) in [0, 1], by model."""


class Bootstrap:
    """Draws of items, with replacement within each set, the same for all models.

    Raises ValueError if there is no item.
    """

    def __init__(self, answers: Answers, draws: int, generator: np.random.Generator) -> None:
        if not len(answers.sets):
            raise ValueError("no set of items is left, because the parent is not above chance in any")
        self.answers = answers
        self.weights = np.ones((draws + 1, len(answers.sets)))  # the first is the sample itself
        for name in dict.fromkeys(answers.sets):
            (members,) = np.nonzero(answers.sets == name)
            self.weights[1:, members] = generator.multinomial(
                len(members), np.full(len(members), 1 / len(members)), draws
            )

    def interval(self, values: np.ndarray) -> dict[str, float | None]:
        """value, low and high (95 %) of a statistic of all draws (draws + 1,); null if undefined."""
        drawn = values[1:][np.isfinite(values[1:])]
        low, high = np.percentile(drawn, ENDS) if drawn.size else (math.nan, math.nan)
        named = {"value": values[0], "low": low, "high": high}
        return {name: float(value) if np.isfinite(value) else None for name, value in named.items()}

    def mean(self, values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Mean of values (n,) over the chosen items (n,) bool, in every draw (draws + 1,)."""
        return self.weights[:, chosen] @ values[chosen] / chosen.sum()

    def accuracy(self, model: str, chosen: np.ndarray) -> dict[str, float | None]:
        """Accuracy of a model on the chosen items, pooled."""
        return self.interval(self.mean(self.answers.right[model], chosen))

    def above(self, model: str, chosen: np.ndarray) -> np.ndarray:
        """Accuracy above chance in every draw (draws + 1,)."""
        return self.mean(self.answers.right[model] - self.answers.chance, chosen)

    def retention(self, child: str, parent: str, chosen: np.ndarray) -> np.ndarray:
        """Retention on the chosen items, pooled, in every draw (draws + 1,); NaN if the parent is at chance."""
        return _ratio(self.above(child, chosen), self.above(parent, chosen))

    def overall(self, child: str, parent: str) -> np.ndarray:
        """Retention of the mean over groups, every group weighing the same, in every draw (draws + 1,)."""
        groups = [self.answers.groups == name for name in dict.fromkeys(self.answers.groups)]
        means = [np.mean([self.above(model, group) for group in groups], axis=0) for model in (child, parent)]
        return _ratio(*means)


def _ratio(child: np.ndarray, parent: np.ndarray) -> np.ndarray:
    return np.divide(child, parent, out=np.full_like(child, math.nan), where=parent > 0)
