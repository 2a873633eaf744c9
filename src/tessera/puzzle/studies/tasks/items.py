"""The items that the models are asked."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tessera.common import randomness
from tessera.data.items import SETS, Source, sample
from tessera.puzzle.studies.tasks.params import TasksParams


def drawn(params: TasksParams, archives: Mapping[Source, Path], seed: int) -> pd.DataFrame:
    """Return items of all sets, one per row: group, set, index, prompt, choices, answer and chance.

    The index counts a set's items as they were drawn: those of even index choose, those of odd index are reported.
    """
    stream = randomness.seed(seed, "puzzle", "tasks")
    rows = []
    for group, sets in params.groups.items():
        for name, count in sets.items():
            items = sample(name, archives[SETS[name].source], count, params.characters, stream)
            for index, item in enumerate(items):
                rows.append(
                    {
                        "group": group,
                        "set": name,
                        "index": index,
                        "prompt": item.prompt,
                        "choices": list(item.choices),
                        "answer": item.answer,
                        "chance": item.chance,
                    }
                )
    return pd.DataFrame(rows)
