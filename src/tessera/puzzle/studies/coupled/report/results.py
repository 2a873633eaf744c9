"""The files of coupled distillation, read once, for its tables and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tessera.common import files
from tessera.common.files import Json
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.studies.coupled.pairs import MARK
from tessera.puzzle.studies.coupled.params import CoupledParams

PHASES = ("decoupled", "refitted", "trained")
METHODS = {
    "decoupled": "the first search's, of decoupled blocks",
    "coupled": "the same choice, of coupled blocks",
    "searched": "the second search's",
}
STATES = {"assembled": "before healing", "healed": "healed"}
ATTENTIONS = {"gqa": "fewer KV heads", "linear": "linear attention", "no_op": "no attention"}
FFNS = {"gated": "narrower FFN", "linear": "linear FFN", "no_op": "no FFN"}


@dataclass(frozen=True)
class Results:
    """The pairs, one row each in the order of layers, and the children of all targets and speed-ups."""

    params: CoupledParams
    seed: int
    pairs: pd.DataFrame
    children: list[Json]


def kind(pair: str, space: Space) -> str:
    """Return the kind of a pair, in words."""
    attention, ffn = decompose(pair)
    second = "the parent's FFN" if ffn == PARENT else FFNS[space.ffn[ffn].kind]
    return f"{ATTENTIONS[space.attention[attention].kind]}, {second}"


def read(
    params: CoupledParams,
    space: Space,
    loss: str,
    seed: int,
    coupled_library: Sequence[Path],
    scores: Sequence[Path],
    first: Path,
    children: Sequence[Path],
) -> Results:
    """Read the coupled library's directories, its scores, the first search's block library and the children."""
    scored = {layer: blocks for path in scores for layer, blocks in files.read_json(path).items()}
    rows = [row for path in children for row in files.read_json(path)]
    chosen = {(i, block) for row in rows if row["method"] == "searched" for i, block in enumerate(row["blocks"])}
    sums, pairs = files.read_json(first), []
    for path in sorted(
        (path for part in coupled_library for path in part.glob("layer_*.json")), key=lambda path: int(path.stem[6:])
    ):
        layer = path.stem.removeprefix("layer_")
        for pair, record in files.read_json(path).items():
            row: Json = {"layer": int(layer), "pair": pair, "kind": kind(pair, space), "kept": record["kept"]}
            row |= {phase: record[phase][loss] if phase in record else None for phase in PHASES}
            row["loss"] = record[record["kept"]][loss]
            row["sum_kl_div"] = sums[f"layer_{layer}"][pair]["metrics"]["kl_div"]
            for name, block in (("decoupled", pair), ("coupled", pair + MARK)):
                for key in ("kl_div", "kl_div_se"):
                    row[f"{name}_{key}"] = scored[layer][block][key]
            row["searched"] = (int(layer), pair + MARK) in chosen
            pairs.append(row)
    return Results(params, seed, pd.DataFrame(pairs), rows)


def as_kept(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return losses after each phase, steps that did not lower them taken back; a phase left out changes nothing."""
    return pairs[list(PHASES)].astype(float).cummin(axis=1).ffill(axis=1)
