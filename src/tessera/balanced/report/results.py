"""The files of the balanced-networks study, read once, for its tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tessera.balanced.params import BalancedParams
from tessera.common import files, plots
from tessera.common.files import Json

#: The two optimal solutions that are compared throughout.
OBJECTIVES = {"kappa_in": r"max $\kappa_{in}$", "kappa_out": r"max $\kappa_{out}$"}
COLOURS = {"kappa_in": plots.BLUE, "kappa_out": plots.RED}


@dataclass(frozen=True)
class Results:
    """Everything that the study wrote, by the name of set, law of the inputs, or size."""

    params: BalancedParams
    seed: int
    theory: Json
    feasibility: dict[str, pd.DataFrame]
    margins: dict[str, pd.DataFrame]
    weights: dict[str, pd.DataFrame]
    learning: pd.DataFrame
    spiking: Json
    attractors: dict[int, list[Json]]


def read(
    params: BalancedParams,
    seed: int,
    curves: Path,
    feasibility: Sequence[Path],
    margins: Sequence[Path],
    weights: Sequence[Path],
    learning: Path,
    spiking: Path,
    attractors: Sequence[Path],
) -> Results:
    """Read the files; those of a list are named after their set, inputs or size. Raises OSError and ValueError."""
    ratios = params.feasibility.cv_ratios
    return Results(
        params,
        seed,
        files.read_json(curves),
        {path.stem: files.read_csv(path) for path in sorted(feasibility, key=lambda path: ratios[path.stem])},
        {path.stem: files.read_csv(path) for path in margins},
        {path.stem: files.read_parquet(path) for path in weights},
        files.read_csv(learning),
        files.read_json(spiking),
        {int(path.stem): files.read_json(path) for path in attractors},
    )
