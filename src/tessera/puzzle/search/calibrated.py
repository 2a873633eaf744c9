"""The search that runs its optima: the cosine of interactions is fitted to their KL, and the best of them are taken.

Scores tell what an exchange costs by itself. What several cost together is s + c q in `quadratic`, with s the sum of
scores and q = A^2 - sum_b r_b^2; c differs between targets, whose children exchange other attentions. So the optima of
some cosines are run at every budget, c is fitted to all of them, and its optima are run in turn. Derived here.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from tessera.puzzle.search import quadratic
from tessera.puzzle.search import solver as search
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.search.solver import Choice, Limits, Solution
from tessera.puzzle.search_params import Solver

Key = TypeVar("Key", bound=Hashable)
#: Times that the cosine is fitted; a later fit knows the optima of the one before.
_ROUNDS = 2


@dataclass(frozen=True)
class Run:
    """A child that was run: s and q by its scores, and its KL, all in nats."""

    choice: Choice
    scores: float
    interactions: float
    kl: float


@dataclass(frozen=True)
class Found(Generic[Key]):
    """The best child of each budget, the cosine of their values, and all that were run.

    The status of a child is "optimal" if the program finds it with that cosine, else "heuristic"; bound, relaxation and
    shadow prices are the program's either way.
    """

    cosine: float
    solutions: Mapping[Key, Solution]
    runs: Sequence[Run]


def fit(runs: Iterable[Run]) -> float:
    """The cosine c >= 0 of least squared relative error, sum over runs of ((s + c q) / KL - 1)^2.

    Runs of no KL or without interactions tell nothing; 0 if all are such.
    """
    telling = [(run.interactions / run.kl, 1 - run.scores / run.kl) for run in runs if run.kl > 0]
    q, rest = np.array(telling, float).reshape(-1, 2).T
    return max(0.0, float(q @ rest) / squares) if (squares := float(q @ q)) else 0.0


def solve(
    library: Library,
    objective: str,
    budgets: Mapping[Key, Limits],
    at_least: Limits,
    cosines: Sequence[float],
    kl: Callable[[Choice], float],
    solver: Solver = "highs",
    track: Callable[[Sequence[tuple[Key, float]]], Iterable[tuple[Key, float]]] = iter,
) -> Found[Key]:
    """Return the child of least KL within each budget, of the optima of the given and of fitted cosines at all budgets.

    budgets are upper limits by their names; kl runs a child and gives its KL in nats; track wraps the programs, to show
    progress. Raises as quadratic.solve.
    """
    rooted, root = quadratic.with_roots(library, objective)
    runs: dict[tuple[str, ...], Run] = {}

    def optimum(key: Key, cosine: float) -> Solution:
        solution = quadratic.solve(rooted, objective, root, cosine, budgets[key], at_least, solver=solver)
        blocks = tuple(solution.choice.values())
        if solution.choice and blocks not in runs:
            scores, together = (quadratic.value(rooted, solution.choice, objective, root, c) for c in (0.0, 1.0))
            runs[blocks] = Run(solution.choice, scores, together - scores, kl(solution.choice))
        return solution

    for key, cosine in track([(key, cosine) for key in budgets for cosine in cosines]):
        optimum(key, cosine)
    for _ in range(_ROUNDS):
        before, cosine = len(runs), fit(runs.values())
        optima = {key: optimum(key, cosine) for key, _ in track([(key, cosine) for key in budgets])}
        if len(runs) == before:
            break
    solutions = {}
    for key, own in optima.items():
        within = [run for run in runs.values() if search.feasible(library, run.choice, budgets[key], at_least)]
        best = min(within, key=lambda run: run.kl, default=None)
        if best is None or best.choice == own.choice:
            solutions[key] = own
        else:
            value = quadratic.value(rooted, best.choice, objective, root, cosine)
            costs = search.costs(library, best.choice, [*budgets[key], *at_least])
            solutions[key] = replace(own, choice=dict(best.choice), value=value, costs=costs, status="heuristic")
    return Found(cosine, solutions, list(runs.values()))
