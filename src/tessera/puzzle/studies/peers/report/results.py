"""The files of the comparison with other ways to prune, read once, for its tables and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tessera.common import files
from tessera.common.files import Json
from tessera.puzzle.studies.peers.params import PeersParams

NAMES = {
    "puzzle": "Puzzle",
    "depth": "depth (ShortGPT)",
    "width": "width (Minitron)",
    "flap": "channels and bias (FLAP)",
}
STATES = {"assembled": "before healing", "equal": "after"}
GROUPS = {"in_domain": "in-domain", "out_of_domain": "out-of-domain"}
PHASES = ("prefill", "decode", "runtime")


@dataclass(frozen=True)
class Results:
    """The peers' children, in the order of NAMES, and the times of parent and children."""

    params: PeersParams
    seed: int
    children: list[Json]
    speed: Json


def read(params: PeersParams, seed: int, children: Sequence[Path], speed: Path) -> Results:
    """Read the files. Raises OSError and ValueError."""
    rows = [files.read_json(path) for path in children]
    return Results(params, seed, sorted(rows, key=lambda row: [*NAMES].index(row["peer"])), files.read_json(speed))
