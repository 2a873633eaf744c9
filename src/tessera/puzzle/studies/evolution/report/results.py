"""The files of the searches on true KL, read once, for their table and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tessera.common import files
from tessera.common.files import Json
from tessera.puzzle.studies.evolution.params import EvolutionParams

PROGRAM = "program"
NAMES = {
    PROGRAM: "program, by scores",
    "random": "random search",
    "evolution": "evolution",
    "warm": "evolution from the program's",
}


@dataclass(frozen=True)
class Results:
    """All searches, in the order of NAMES."""

    params: EvolutionParams
    seed: int
    searches: list[Json]

    @property
    def program(self) -> Json:
        """The program's child."""
        (best,) = (search["best"] for search in self.searches if search["search"] == PROGRAM)
        return best


def read(params: EvolutionParams, seed: int, searches: Sequence[Path]) -> Results:
    """Read the files. Raises OSError and ValueError."""
    rows = [files.read_json(path) for path in searches]
    return Results(params, seed, sorted(rows, key=lambda row: ([*NAMES].index(row["search"]), row["replicate"])))


def best_so_far(search: Json) -> np.ndarray:
    """Return the least KL after each child, nats per token, of one search (children,)."""
    return np.minimum.accumulate([child["kl_div"] for child in search["children"]])
