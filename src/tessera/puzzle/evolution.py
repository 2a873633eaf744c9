"""Evolutionary search on a child's true quality: the baseline that needs no additivity, but a forward pass a child.

An individual is a choice within the budgets. Offspring draw the variants of two layers, or of several pairs, anew
until they are within the budgets: of two, one may become cheaper where the other becomes costlier, so that a tight
budget does not reject nearly all of them. (mu + lambda): parents stay while they are among the best.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tessera.puzzle import block_library, search
from tessera.puzzle.block_library import Library
from tessera.puzzle.search import Limits

#: Draws of one offspring until it is within the budgets; then its parent's place is left to others.
TRIES = 200


@dataclass(frozen=True)
class Evolved:
    """The best choice, its loss, and (evaluations so far, best loss) of every generation."""

    choice: dict[str, str]
    loss: float
    history: list[tuple[int, float]]


def evolve(
    library: Library,
    loss: Callable[[Mapping[str, str]], float],
    at_most: Limits,
    start: Mapping[str, str],
    generator: np.random.Generator,
    evaluations: int,
    parents: int = 4,
    offspring: int = 12,
    mutations: float = 2.0,
) -> Evolved:
    """Minimise `loss` over choices within the budgets, from a choice that is within them, by so many evaluations.

    mutations is the mean number of swaps beyond the first. No choice is evaluated twice. The search ends early where
    offspring that are new cannot be found. Raises ValueError where the start is outside the budgets or a number is not
    positive.
    """
    if min(evaluations, parents, offspring) < 1 or mutations < 0:
        raise ValueError("evaluations, parents and offspring are at least 1, mutations at least 0")
    if not search.feasible(library, start, at_most):
        raise ValueError("the start is outside the budgets; take the choice of another method, as greedy")
    layers = block_library.layers(library)
    first = {layer: start[layer] for layer in layers}
    known = {_key(first): loss(first)}
    population, history = [(known[_key(first)], first)], [(1, known[_key(first)])]
    while len(known) < evaluations:
        born = []
        for _ in range(min(offspring, evaluations - len(known))):
            mother = population[int(generator.integers(len(population)))][1]
            child = _offspring(library, layers, mother, at_most, known, generator, mutations)
            if child is not None:
                known[_key(child)] = loss(child)
                born.append((known[_key(child)], child))
        if not born:
            break
        population = sorted([*population, *born], key=lambda one: (one[0], _key(one[1])))[:parents]
        history.append((len(known), population[0][0]))
    return Evolved(population[0][1], population[0][0], history)


def _key(choice: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(choice.values())


def _offspring(
    library: Library,
    layers: list[str],
    mother: Mapping[str, str],
    at_most: Limits,
    known: Mapping[tuple[str, ...], float],
    generator: np.random.Generator,
    mutations: float,
) -> dict[str, str] | None:
    """A new choice within the budgets, or None where none was drawn."""
    for _ in range(TRIES):
        child = dict(mother)
        for _ in range(1 + int(generator.poisson(mutations))):
            for layer in generator.choice(layers, size=min(2, len(layers)), replace=False):
                variants = sorted(library[str(layer)])
                child[str(layer)] = variants[int(generator.integers(len(variants)))]
        if _key(child) not in known and search.feasible(library, child, at_most):
            return child
    return None
