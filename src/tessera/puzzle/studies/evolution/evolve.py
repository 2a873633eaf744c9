"""Evolutionary search on a child's true quality: the baseline that needs no additivity, but a forward pass per child.

An individual is a choice within the budgets. Offspring redraw the variants of two layers, or of several pairs, until
they are within the budgets: of two, one may become cheaper while the other becomes costlier, so that a tight budget
does not reject nearly all of them. (mu + lambda): parents stay while they are among the best. Random search is the case
without offspring, whose children are all in the population that it begins with.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tessera.common import files
from tessera.puzzle import search
from tessera.puzzle.models.space import PARENT, decompose
from tessera.puzzle.search import Choice, Limits, baselines, block_library
from tessera.puzzle.search.block_library import Library

#: Most draws of one new child; if none is within the budgets, the generation has one child fewer.
TRIES = 200


@dataclass(frozen=True)
class Evaluated:
    """A child that was run, and its loss."""

    choice: dict[str, str]
    loss: float


def evolve(
    library: Library,
    loss: Callable[[Choice], float],
    at_most: Limits,
    start: Sequence[Choice],
    generator: np.random.Generator,
    evaluations: int,
    population: int = 4,
    offspring: int = 12,
    mutations: float = 2.0,
) -> Iterator[Evaluated]:
    """Minimise `loss` over choices within the budgets, from some that are, and yield each child as it is evaluated.

    The `population` best so far are the parents of each generation; mutations is the mean number of swaps beyond the
    first. No choice is evaluated twice. The search ends after `evaluations` children, or if no new offspring are found.
    Raises ValueError if a start is outside the budgets, if there is none, or if a number is not positive.
    """
    if min(evaluations, population, offspring) < 1 or mutations < 0:
        raise ValueError("evaluations, population and offspring must be at least 1, mutations at least 0")
    if not start:
        raise ValueError("no start; expected at least one choice")
    if not all(search.feasible(library, choice, at_most) for choice in start):
        raise ValueError("a start is outside the budgets; start from the choice of another method, such as greedy")
    layers = block_library.layers(library)
    known: set[tuple[str, ...]] = set()
    parents: list[Evaluated] = []
    born = [{layer: choice[layer] for layer in layers} for choice in start]
    while born:
        generation = []
        for choice in born:
            if _key(choice) not in known and len(known) < evaluations:
                known.add(_key(choice))
                generation.append(Evaluated(choice, loss(choice)))
                yield generation[-1]
        parents = sorted([*parents, *generation], key=lambda child: (child.loss, _key(child.choice)))[:population]
        born = []
        for _ in range(min(offspring, evaluations - len(known))):
            mother = parents[int(generator.integers(len(parents)))].choice
            taken = known | {_key(sibling) for sibling in born}
            child = _offspring(library, layers, mother, at_most, taken, generator, mutations)
            born += [child] if child else []


def draw(
    library: Library, objective: str, at_most: Limits, count: int, generator: np.random.Generator
) -> list[dict[str, str]]:
    """Return different random choices within the budgets, `count` of them or as many as are found.

    Raises ValueError if none is.
    """
    choices: dict[tuple[str, ...], dict[str, str]] = {}
    for _ in range(count + TRIES):
        choice = baselines.random(library, objective, at_most, generator=generator).choice
        if not choice or len(choices) == count:
            break
        choices.setdefault(_key(choice), choice)
    if not choices:
        raise ValueError("no random choice is within the budgets; widen them")
    return list(choices.values())


def scoring_passes(library: Library) -> float:
    """Return what replace-one-block scores of a composed library cost, in forward passes of the whole model.

    Each subblock variant except the parent's runs its own layer and those after it.
    """
    layers = block_library.layers(library)
    passes = 0.0
    for i, layer in enumerate(layers):
        parts = zip(*(decompose(block) for block in library[layer]), strict=True)
        passes += sum(len(set(part) - {PARENT}) for part in parts) * (len(layers) - i) / len(layers)
    return passes


class Ledger:
    """The loss of children, each run once, in a file from which an interrupted search resumes.

    A search is a function of its seed and of these losses: run again, it asks for the same children in the same order,
    and those in the file cost nothing.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], measure: Callable[[Choice], Mapping[str, Any]]) -> None:
        """measure runs a child; its `kl_div` is the loss. identity is all that losses depend on; a file with another
        one is replaced. Raises ValueError, naming the file, if it is not a ledger.
        """
        self.path, self.identity, self.measure = path, files.to_json(identity, indent=None), measure
        self.known: dict[tuple[str, ...], dict[str, Any]] = {}
        kept = files.read_json(path) if path.is_file() else None
        if kept is None:
            return
        if not isinstance(kept, dict) or not {"identity", "children"} <= kept.keys():
            raise ValueError(f"{path}: not the ledger of a search; delete it to start from scratch")
        if kept["identity"] == self.identity:
            self.known = {tuple(row["blocks"]): row for row in kept["children"]}

    def __call__(self, choice: Choice) -> float:
        key = _key(choice)
        if key not in self.known:
            self.known[key] = {"blocks": list(key), **self.measure(choice)}
            files.write_json(self.path, {"identity": self.identity, "children": list(self.known.values())})
        return self.known[key]["kl_div"]

    def row(self, choice: Choice) -> dict[str, Any]:
        """Return a child's measurement: its blocks in the order of layers, kl_div, and whatever else measure gave."""
        return self.known[_key(choice)]

    def remove(self) -> None:
        """Delete the file of a finished search."""
        self.path.unlink(missing_ok=True)


def _key(choice: Choice) -> tuple[str, ...]:
    return tuple(choice.values())


def _offspring(
    library: Library,
    layers: list[str],
    mother: Choice,
    at_most: Limits,
    known: set[tuple[str, ...]],
    generator: np.random.Generator,
    mutations: float,
) -> dict[str, str] | None:
    """Return a new choice within the budgets, or None if none was drawn."""
    for _ in range(TRIES):
        child = dict(mother)
        for _ in range(1 + int(generator.poisson(mutations))):
            for layer in generator.choice(layers, size=min(2, len(layers)), replace=False):
                variants = sorted(library[str(layer)])
                child[str(layer)] = variants[int(generator.integers(len(variants)))]
        if _key(child) not in known and search.feasible(library, child, at_most):
            return child
    return None
