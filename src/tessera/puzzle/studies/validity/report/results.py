"""The files of the validity study, read once, and the rows that its numbers, tables and figures share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tessera.common import files, randomness
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.models.space import PARENT, decompose
from tessera.puzzle.scores.association import paired
from tessera.puzzle.studies.validity.params import ValidityParams

GROUP_NAMES = {
    "mip": "MIP",
    "diverse": "MIP, next best",
    "baselines": "baselines",
    "mild": "random, mild",
    "any": "random, any",
    "corrected": "corrected optimum",
}
#: States of a child: on the scores' own text, on test text as assembled, and there after the short healing.
STATES = ("scored", "assembled", "healed")
STATE_NAMES = {
    "scored": "assembled, the scores' text",
    "assembled": "assembled, test text",
    "healed": "healed, test text",
}
#: Predictions of KL, in the order in which they are shown; fits are judged on groups that they did not see.
PREDICTORS = {
    "sum": "sum of scores",
    "measured": "with measured interactions",
    "neighbourhood_without_group": "with interactions fitted by neighbourhood",
    "subblocks_without_group": "with interactions fitted by subblock",
}
PHASES = ("prefill", "decode", "runtime")


@dataclass(frozen=True, eq=False)
class Results:
    """Children that were run, with what was predicted for them."""

    params: ValidityParams
    seed: int
    children: list[Json]
    corrected: list[Json]
    correction: Json
    composed: dict[int, Json]
    scores: dict[int, Json]
    time: Json

    def generator(self, *names: str) -> np.random.Generator:
        """Return the random numbers of one interval."""
        return randomness.generator(self.seed, "puzzle_validity", "bootstrap", *names)

    def predicted(self, row: Json) -> float:
        """Return the sum of the scores of a child's exchanged subblocks."""
        return math.fsum(score["kl_div"] for score in self._exchanged(row["blocks"]))

    def predicted_se(self, row: Json) -> float:
        """Return its standard error, taking the scores' errors as independent."""
        return math.sqrt(math.fsum(known(score["kl_div_se"]) ** 2 for score in self._exchanged(row["blocks"])))

    def _exchanged(self, blocks: Sequence[str]) -> list[Json]:
        return [
            self.scores[layer][subblock][variant]
            for layer, block in enumerate(blocks)
            for subblock, variant in zip(("attention", "ffn"), decompose(block), strict=True)
            if variant != PARENT
        ]

    def replaced(self, row: Json) -> int:
        """Return how many subblocks are exchanged."""
        return len(self._exchanged(row["blocks"]))

    def of(self, groups: Sequence[str] = ()) -> list[Json]:
        """Return the children of some groups, or all."""
        return [row for row in self.children if not groups or row["group"] in groups]

    def groups(self) -> list[str]:
        """Return the groups that were run, in the order of GROUP_NAMES, others last."""
        names = list(dict.fromkeys(row["group"] for row in self.children))
        return [name for name in GROUP_NAMES if name in names] + [name for name in names if name not in GROUP_NAMES]


def read(
    params: ValidityParams,
    seed: int,
    groups: Sequence[Path],
    corrected: Path,
    correction: Path,
    composed: Path,
    scores: Sequence[Path],
    time: Path,
) -> Results:
    """Read the files of the study. Raises OSError and ValueError."""
    return Results(
        params,
        seed,
        [row for path in groups for row in files.read_json(path)],
        files.read_json(corrected),
        files.read_json(correction),
        {int(layer): blocks for layer, blocks in files.read_json(composed).items()},
        {int(layer): parts for path in scores for layer, parts in files.read_json(path).items()},
        files.read_json(time),
    )


def sets(results: Results) -> dict[str, list[Json]]:
    """Return the sets of children for which ranks and biases are given: all, the small ones, each kind of choice."""
    most = results.correction["most"]
    subsets = {
        "all": results.of(),
        "fitted": [row for row in results.of() if results.predicted(row) <= most],
        "searched": results.of(("mip", "diverse")),
        "other": [row for row in results.of() if row["group"] not in ("mip", "diverse")],
    }
    return {name: rows for name, rows in subsets.items() if len(rows) >= 3}


def predictions(results: Results, predictor: str) -> dict[str, float | None]:
    """Return one prediction of every child by name; null if it has none."""
    return {child["name"]: child[predictor] for child in results.correction["children"]}


def composed_pairs(results: Results) -> list[Json]:
    """Return rows of layer, block, the score of the block, and the sum of its two subblocks' scores."""
    rows = []
    for layer in sorted(results.composed):
        for block, metrics in sorted(results.composed[layer].items()):
            attention, ffn = decompose(block)
            parts = results.scores[layer]["attention"][attention], results.scores[layer]["ffn"][ffn]
            rows.append(
                {"layer": layer, "block": block, "sum": sum(part["kl_div"] for part in parts)}
                | {"composed": metrics["kl_div"], "composed_se": metrics["kl_div_se"]}
            )
    return rows


def composed_sum(results: Results, row: Json) -> float | None:
    """Return a child's KL predicted from scores of whole blocks; null if one of its pairs was not scored."""
    total = 0.0
    for layer, block in enumerate(row["blocks"]):
        exchanged = [part for part in decompose(block) if part != PARENT]
        if len(exchanged) == 2:
            if block not in results.composed.get(layer, {}):
                return None
            total += results.composed[layer][block]["kl_div"]
        elif exchanged:
            attention, ffn = decompose(block)
            kind, variant = ("attention", attention) if attention != PARENT else ("ffn", ffn)
            total += results.scores[layer][kind][variant]["kl_div"]
    return total


def optima(results: Results) -> list[Json]:
    """Return the corrected optima with the sum's optimum at the same target and speed-up, paired by window.

    Raises ValueError if the sum's optimum was not run.
    """
    rows = []
    by_blocks = {tuple(row["blocks"]): row for row in results.children}
    for corrected in results.corrected:
        before = by_blocks.get(tuple(corrected["optimum"]))
        if before is None:
            raise ValueError(
                f"{corrected['name']}: the optimum of the plain sum was not run; add its speed-up to validity.speedups"
            )
        row: Json = {key: corrected[key] for key in ("target", "speedup", "predicted", "predicted_before")}
        row["form"] = corrected["method"]
        row["changed"] = sum(a != b for a, b in zip(corrected["blocks"], corrected["optimum"], strict=True))
        for state in STATES:
            new, old = corrected[state]["by_window"], before[state]["by_window"]
            row[state] = {"corrected": corrected[state]["kl_div"], "optimum": before[state]["kl_div"]}
            row[state] |= paired(new, old)
        rows.append(row)
    return rows
