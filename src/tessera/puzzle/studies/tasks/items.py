"""The items that the models are asked."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tessera.common import randomness
from tessera.data import own_files
from tessera.data.items import SETS, Source, own, sample
from tessera.data.params import OwnItems
from tessera.puzzle.studies.tasks.params import TasksParams


def drawn(params: TasksParams, archives: Mapping[Source, Path], root: str | Path, seed: int) -> pd.DataFrame:
    """Return items of all sets, one per row: group, set, index, prompt, choices, answer and chance.

    Relative patterns of sets of your own begin in root.
    The index counts a set's items as they were drawn: those of even index choose, those of odd index are reported.
    """
    stream = randomness.seed(seed, "puzzle", "tasks")
    rows = []
    for group, sets in params.groups.items():
        for name, wanted in sets.items():
            if isinstance(wanted, OwnItems):
                paths = own_files.expanded(wanted.files, root, f"puzzle_studies.tasks: {name}.files")
                files = own_files.named(map(Path, paths), root) | own_files.of_hub(wanted.files)
                items = own(name, files, wanted, params.characters, stream)
            else:
                items = sample(name, archives[SETS[name].source], wanted, params.characters, stream)
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
