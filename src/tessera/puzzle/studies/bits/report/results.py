"""The children in types, read once, for their table and figure."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tessera.common import files
from tessera.common.files import Json
from tessera.puzzle.studies.bits.params import BitsParams

NAMES = {
    "joint": "structure and bits at once",
    "structure": "structure, best single type",
    "bits": "bits alone, by subblock",
    "types": "parent in one type",
}
#: What the budgets are of, as points have them.
BUDGETS = {
    "speed": "speed of the whole model, multiple of the parent's",
    "size": "size of the weights, share of the parent's",
}


@dataclass(frozen=True)
class Results:
    """All children, as `puzzle_bits_measure` wrote them."""

    params: BitsParams
    hardware: str
    software: str
    points: list[Json]

    def of(self, method: str, budget: str) -> list[Json]:
        """A method's children under one kind of budget; those of the parent in each type are of both."""
        return [p for p in self.points if p["method"] == method and p["budget"] in (budget, None)]

    def served(self, point: Json) -> Json | None:
        """What llama.cpp took: the median of its request over the parent's in the same rounds, with quartiles.

        None if the child was not served.
        """
        if "served" not in point:
            return None
        parent = next(p for p in self.points if p["method"] == "types" and p["types"] == self.params.types[0])
        ratios = _total(parent["served"]) / _total(point["served"])
        low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        return {
            "speed": float(median),
            "low": float(low),
            "high": float(high),
            "size": point["served"]["file_mib"] / parent["served"]["file_mib"],
        }


def _total(served: Json) -> np.ndarray:
    return np.add(served["prefill_ms"], served["decode_ms"])


def read(params: BitsParams, info: Path, measured: Path) -> Results:
    """Read the files. Raises OSError and ValueError."""
    about = files.read_json(info)
    return Results(params, about["hardware"], about["software"], files.read_json(measured)["points"])
