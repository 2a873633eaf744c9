"""The result files of the Puzzle chain, read once for tables, figures and runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tessera.common import files
from tessera.common.files import Json
from tessera.common.intervals import known
from tessera.puzzle.costs.lookup import of_layer
from tessera.puzzle.models.space import PARENT, decompose
from tessera.puzzle.params import PuzzleParams

SUBBLOCKS = ("attention", "ffn")
SUBBLOCK_NAMES = {"attention": "attention", "ffn": "FFN"}
METHOD_NAMES = {
    "quadratic": "MIP with interactions",
    "mip": "MIP",
    "greedy": "greedy",
    "max_params": "max-params",
    "homogeneous": "homogeneous",
    "no_op_only": "no-op only",
    "stock": "one size, fewer layers",
    "random": "random",
}
#: States of a child: as assembled, healed as all methods are; and of the one that is kept refitted, healed in full.
STATES = ("assembled", "equal", "refitted", "full")
STATE_NAMES = {"assembled": "assembled", "equal": "healed equally", "refitted": "refitted", "full": "healed in full"}
#: Largest relative error of a predicted speed-up that is aimed for.
SPEED_GOAL = 0.15
#: What of a workload is timed.
PHASES = ("prefill", "decode", "runtime")
GROUPS = ("in_domain", "out_of_domain")
GROUP_NAMES = {"in_domain": "in-domain", "out_of_domain": "out-of-domain"}


@dataclass(frozen=True)
class Results:
    """Everything that the chain wrote, by layer, or by the names of targets and methods."""

    params: PuzzleParams
    seed: int
    library: dict[int, Json]
    scores: dict[int, Json]
    costs: dict[str, pd.DataFrame]
    frontier: dict[str, Json]
    children: dict[str, Json]
    curves: dict[tuple[str, str], Json]
    refits: dict[str, Json]
    evaluation: dict[tuple[str, str], Json]
    speed: Json

    @property
    def targets(self) -> list[str]:
        return list(self.costs)

    @property
    def methods(self) -> list[str]:
        """Methods of the children, the kept one first."""
        evaluated = {method for _, method in self.evaluation}
        ordered = [method for method in METHOD_NAMES if method in evaluated]
        return sorted(ordered, key=lambda method: method != self.kept)

    @property
    def kept(self) -> str:
        """The method whose children are healed in full."""
        return self.speed["method"]

    @property
    def models(self) -> list[str]:
        """Models that were served, the parent first, then the children by target."""
        return ["parent", *self.targets]

    @property
    def served(self) -> dict[str, Json]:
        """What was served, by name: the workload of every measured target; if there is none, by the device.

        Its models have predictions only if it is a target's.
        """
        return self.speed["served"]

    @property
    def layers(self) -> list[int]:
        return sorted(self.scores)

    def states(self, target: str, method: str) -> dict[str, Json]:
        """State -> domain -> metrics of a child."""
        states = self.evaluation[target, method]["states"]
        return {state: states[state] for state in STATES if state in states}

    def validations(self, target: str) -> dict[str, Json]:
        """What became of the kept child's refit and healing (see heal.validation), by the state that each leads to."""
        records = {"refitted": self.refits.get(target, {}), "full": self.curves.get((target, "full"), {})}
        return {state: record["validation"] for state, record in records.items() if "validation" in record}

    def domains(self) -> list[str]:
        """Domains of text, without their groups."""
        first = next(iter(self.evaluation.values()))["states"]["assembled"]
        return [domain for domain in first if domain not in GROUPS]

    def hardware(self, target: str) -> str:
        """Hardware, software, data type and workload of a target, as text."""
        row = self.costs[target].iloc[0]
        source = {"kernel-database": "kernel database", "llama.cpp": "measured"}.get(row["source"], row["source"])
        software = "" if row["software"] in ("", "none") else f", {row['software']}"
        return (
            f"{row['hardware']}{software}, {row['dtype']}, batch {row['batch']}, "
            f"{row['prefill']} + {row['decode']} tokens ({source})"
        )

    def cost(self, target: str, layer: int) -> pd.DataFrame:
        """What a target's cost table says of one layer, by subblock and variant."""
        return of_layer(self.costs[target], layer).set_index(["subblock", "variant"])

    def variants(self, subblock: str) -> list[str]:
        """Variants of a subblock: the parent's, then the others by decreasing number of parameters over all layers."""
        count = sum(self.cost(self.targets[0], layer).loc[subblock].parameters for layer in self.layers)
        order = count.sort_values(ascending=False, kind="stable").index  # type: ignore[union-attr]
        return [PARENT, *(variant for variant in order if variant != PARENT)]

    def predicted_se(self, blocks: Sequence[str]) -> float:
        """Standard error of a choice's summed KL, with the layers' errors taken as independent."""
        squares = 0.0
        for layer, block in enumerate(blocks):
            for subblock, variant in zip(SUBBLOCKS, decompose(block), strict=True):
                squares += known(self.scores[layer][subblock].get(variant, {}).get("kl_div_se", 0.0)) ** 2
        return math.sqrt(squares)


def read(
    params: PuzzleParams,
    seed: int,
    library: Sequence[Path],
    scores: Sequence[Path],
    costs: Sequence[Path],
    frontier: Sequence[Path],
    children: Sequence[Path],
    curves: Sequence[Path],
    refits: Sequence[Path],
    evaluation: Sequence[Path],
    speed: Path,
) -> Results:
    """Read the files; a cost table and a refit are named after the target, a curve after its method, in its folder."""
    records = [path for directory in library for path in directory.glob("layer_*.json")]
    return Results(
        params=params,
        seed=seed,
        library={int(path.stem.removeprefix("layer_")): files.read_json(path) for path in records},
        scores={int(layer): scored for path in scores for layer, scored in files.read_json(path).items()},
        costs={path.stem: files.read_parquet(path) for path in costs},
        frontier={search["target"]: search for search in map(files.read_json, frontier)},
        children={search["target"]: search for search in map(files.read_json, children)},
        curves={(path.parent.name, path.stem): files.read_json(path) for path in curves},
        refits={path.stem: files.read_json(path) for path in refits},
        evaluation={(child["target"], child["method"]): child for child in map(files.read_json, evaluation)},
        speed=files.read_json(speed),
    )
