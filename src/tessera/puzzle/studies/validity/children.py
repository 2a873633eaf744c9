"""Children on which predictions are tested, and those of them that serve a workload."""

from collections.abc import Mapping, Sequence

import numpy as np

from tessera.common import randomness
from tessera.puzzle.search import draws
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.studies.validity.params import ValidityParams


def drawn(
    libraries: Mapping[str, Library], objective: str, params: ValidityParams, target: str, seed: int
) -> dict[str, list[draws.Row]]:
    """Return rows of children by group: the search's, its next best, the baselines', and random ones.

    libraries are keyed by target; the baselines and the random children are those of one of them.
    """

    def generator(group: str) -> np.random.Generator:
        return randomness.generator(seed, "puzzle_validity", group)

    rows = {
        "mip": draws.optima(libraries, objective, params.speedups),
        "diverse": draws.diverse(libraries, objective, params.diverse),
        "baselines": draws.others(libraries[target], objective, params.baselines, target, generator("baselines")),
    }
    for name, settings in params.random.items():
        rows[name] = draws.random(libraries[target], objective, name, settings, generator(name))
    return rows


def evenly(values: Sequence[float], count: int) -> list[int]:
    """Return the places of `count` values that are spread evenly over their ranks, or of all if there are fewer."""
    order = np.argsort(values, kind="stable")
    ranks = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return order[ranks].tolist()
