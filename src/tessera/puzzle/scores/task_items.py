"""Task items as the models read them, and what all models answered.

Items of even index choose the metric and the sets, by the parent's answers; those of odd index are reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores.choices import Tokens
from tessera.puzzle.scores.retention import METRICS, Answers, Selection, right_answers, selections


def tokenised(items: pd.DataFrame, parent: Path, separator: str | None) -> list[Tokens]:
    """Return items as tokens; parent is the directory of the tokenizer.

    A prompt begins as the tokenizer begins a text, or with the separator if that adds nothing.
    """
    from tessera.data import tokens

    tokenizer, end = tokens.tokenizer(parent / "tokenizer.json", parent / "generation_config.json", separator)
    prompts = tokens.encode(tokenizer, items["prompt"].tolist(), tokens.prefix(tokenizer) or [end])
    return [
        Tokens(prompt.tolist(), [choice.tolist() for choice in tokens.encode(tokenizer, choices)])
        for prompt, choices in zip(prompts, items["choices"].map(list), strict=True)
    ]


@dataclass(frozen=True)
class Answered:
    """Items, and what all models answered."""

    items: pd.DataFrame
    """Indexed by set and index."""
    selection: dict[str, Selection]
    """By set, what the parent's answers to the half that chooses say."""
    counted: Answers
    """To the reported items of the sets that count."""
    every: Answers
    """To the reported items of all sets."""


def read(table: Path, answers: Sequence[Path], margin: float) -> Answered:
    """Read items and answers, one file per model, named after it, the parent's as `parent`.

    A set counts if the parent is `margin` standard errors above chance. Raises ValueError if a model did not answer a
    reported item.
    """
    items = files.read_parquet(table).set_index(["set", "index"])
    right = {path.stem: right_answers(items, files.read_parquet(path)) for path in answers}
    reported = items.index.get_level_values("index").to_numpy() % 2 == 1
    names = items.index.get_level_values("set").to_numpy()
    selection = selections(items, right[PARENT], margin)
    metric = np.array([METRICS.index(selection[name].metric) for name in names])
    counts = np.array([selection[name].kept for name in names])
    by_model = {
        model: np.stack([by_metric[name] for name in METRICS])[metric, range(len(names))]
        for model, by_metric in right.items()
    }
    for model, values in by_model.items():
        if np.isnan(values[reported]).any():
            name, index = items.index[reported & np.isnan(values)][0]
            raise ValueError(f"{model}: no answer to item {index} of {name}; delete its answers and run again")

    def those(where: np.ndarray) -> Answers:
        return Answers(
            names[where],
            items["group"].to_numpy()[where],
            items["chance"].to_numpy()[where],
            {model: values[where] for model, values in by_model.items()},
        )

    return Answered(items, selection, those(reported & counts), those(reported))
