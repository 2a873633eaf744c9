"""The files of the ablations, read once, for their tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tessera.common import files
from tessera.common.files import Json
from tessera.puzzle.studies.ablations.params import AblationsParams

STATES = {"assembled": "as assembled", "healed": "healed"}
PLACES = ("in_domain", "out_of_domain")


@dataclass(frozen=True)
class Results:
    """Rows of distilled blocks of all seeds, and the children of all cases and seeds."""

    params: AblationsParams
    loss: str
    """Of blocks, that is shown."""
    seed: int
    blocks: list[Json]
    children: list[Json]


def read(params: AblationsParams, loss: str, seed: int, blocks: Sequence[Path], cases: Sequence[Path]) -> Results:
    """Read the files. Raises OSError and ValueError."""
    rows, children = ([row for path in paths for row in files.read_json(path)] for paths in (blocks, cases))
    return Results(params, loss, seed, rows, children)
