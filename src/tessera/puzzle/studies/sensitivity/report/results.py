"""The files of the search's sensitivity, read once, for its table and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tessera.common import files
from tessera.common.files import Json
from tessera.puzzle.studies.sensitivity.params import SensitivityParams


@dataclass(frozen=True)
class Results:
    """The effects of resampling, by target."""

    params: SensitivityParams
    seed: int
    targets: list[Json]


def read(params: SensitivityParams, seed: int, sensitivity: Sequence[Path]) -> Results:
    """Read the files. Raises OSError and ValueError."""
    return Results(params, seed, [files.read_json(path) for path in sensitivity])
