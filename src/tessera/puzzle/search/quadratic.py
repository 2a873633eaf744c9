"""The search with interactions: exchanges that reinforce one another cost more together than their scores say.

    minimise  sum_b s_b + c (A^2 - sum_b r_b^2),      A = sum_b r_b,      over the chosen blocks b

With r_b the root of the score of a block's attention this is, to second order, the KL of a child whose exchanged
attentions change the parent's log-probabilities at a common cosine c (see ../studies/validity). Derived here; the
paper's search is c = 0.

The one square is all that is not linear, and it is above each of its tangents. So the program with the greatest of some
tangents in place of the square bounds ours from below; its optimum gives the next tangent, until the bound is there
(Kelley's cutting planes, of one variable). Before each program every tangent by itself removes the variants that no
better choice can have, and where few combinations are left, all are tried.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera.puzzle.models.space import PARENT, compose, decompose
from tessera.puzzle.search import block_library, milp, program
from tessera.puzzle.search import solver as linear
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.search.milp import Square, nearest
from tessera.puzzle.search.program import Program, Reduced
from tessera.puzzle.search.rows import Allowed, Table
from tessera.puzzle.search.solver import NONE, Choice, Limits, Solution
from tessera.puzzle.search_params import Solver

#: The optimum is proven to this share of itself.
TOLERANCE = 1e-6
#: Combinations that are tried at once, and the share by which they may break a budget in floats.
_MOST, _SLACK = 20_000, 1e-6
#: Tangents that are tried at most, of the linear relaxation and in all; each optimum gives another one.
_RELAXED, _TANGENTS = 20, 1000


def with_roots(library: Library, objective: str) -> tuple[dict[str, Any], str]:
    """The library with r, the root of what a block's attention scores by itself beyond the parent, and the key of r.

    An exchange that noise made better than the parent counts as none. Raises ValueError, naming the layer and variant,
    if a block's attention is not in the library with the parent's FFN.
    """
    rooted: dict[str, Any] = {}
    for layer, blocks in library.items():
        rooted[layer] = {}
        for name, block in blocks.items():
            alone = compose(decompose(name)[0], PARENT)
            if missing := {alone, compose(PARENT, PARENT)} - blocks.keys():
                raise ValueError(f"{layer}: no variant {missing.pop()!r}, by which the attention of {name!r} is judged")
            attention, parent = (
                block_library.number(library, layer, variant, objective) for variant in (alone, compose(PARENT, PARENT))
            )
            root = {"attention_root": math.sqrt(max(0.0, attention - parent))}
            rooted[layer][name] = {**block, "metrics": {**block["metrics"], **root}}
    return rooted, "metrics.attention_root"


def value(library: Library, choice: Choice, objective: str, root: str, cosine: float) -> float:
    """The objective of a choice; `root` is the key of r."""
    roots = [Fraction(block_library.number(library, layer, variant, root)) for layer, variant in choice.items()]
    scores = Fraction(block_library.total(library, choice, objective))
    return float(scores + Fraction(cosine) * (sum(roots) ** 2 - sum(r * r for r in roots)))


def solve(
    library: Library,
    objective: str,
    root: str,
    cosine: float,
    at_most: Limits = NONE,
    at_least: Limits = NONE,
    different_from: Sequence[Choice] = (),
    min_difference: int = 0,
    solver: Solver = "highs",
) -> Solution:
    """Return the best choice of one variant for each layer, proven to TOLERANCE of its value; see `search.solve`.

    root is the key of r, none of which is negative. `value` and `bound` are those of the whole objective; `relaxation`
    and `shadow_prices` those of the linear program whose tangent touches at the optimum. Raises as search.solve, and
    ValueError if the cosine is negative, for then the tangent is no bound, or if roots are too large to be squared.
    """
    if not (cosine >= 0 and math.isfinite(cosine)):
        raise ValueError(f"cosine = {cosine}; expected a finite number, 0 or more")
    for layer, variants in library.items():
        for variant in variants:
            if (r := block_library.number(library, layer, variant, root)) < 0:
                raise ValueError(f"{layer}, {variant!r}: {root} = {r}; expected 0 or more")
    asked: dict[str, Any] = {"different_from": different_from, "min_difference": min_difference}
    problem = linear.Problem(library, objective, at_most, at_least, **asked)
    roots = problem.table(root)
    if math.isinf(cosine * (high := math.fsum(map(max, roots))) * high):
        raise ValueError(f"{root}: the square of {high:g}, a sum over the layers, is beyond the range of floats")
    search = _Search(problem.program, roots, cosine, solver)
    if not cosine or not search.start():
        return linear.solve(library, objective, at_most, at_least, solver=solver, **asked)
    bound, choice = search.proven(), problem.choice(search.best)
    square, touching = search.reduced(search.total(search.best), search.every, None)
    assert touching is not None
    return Solution(
        choice,
        float(search.least),
        linear.costs(library, choice, [*at_most, *at_least]),
        min(bound, float(search.least)),
        "optimal",
        nearest(min(touching.bound - square, search.least)),
        {row.name: price for row, price in zip(problem.limits, touching.multipliers, strict=False)},
    )


class _Search:
    """The search over positions; `best` is the best selection so far, `least` its exact value."""

    best: list[int]
    least: Fraction

    def __init__(self, given: Program, roots: Table, cosine: float, solver: Solver) -> None:
        self.program, self.roots, self.cosine, self.solver = given, roots, cosine, solver
        self.every: Allowed = [list(range(len(layer))) for layer in roots]
        #: The objective without the square.
        self.linear = self.tangent(0.0).objective

    def tangent(self, touch: float) -> Program:
        """The linear program whose objective, less c touch^2, bounds ours from below; they touch at A = touch."""
        pairs = zip(self.program.objective, self.roots, strict=True)
        objective = [[s + self.cosine * r * (2 * touch - r) for s, r in zip(*pair, strict=True)] for pair in pairs]
        return replace(self.program, objective=objective)

    def value(self, selection: Sequence[int]) -> Fraction:
        """The exact objective."""
        r = [Fraction(layer[j]) for layer, j in zip(self.roots, selection, strict=True)]
        return self.program.value(selection) + Fraction(self.cosine) * (sum(r) ** 2 - sum(x * x for x in r))

    def total(self, selection: Sequence[int]) -> float:
        """A."""
        return math.fsum(layer[j] for layer, j in zip(self.roots, selection, strict=True))

    def start(self) -> bool:
        """Take the optimum without the square; False if there is none."""
        answer = program.solve(replace(self.program, objective=self.linear), self.solver)
        if answer is None:
            return False
        self.best, self.least = answer.selection, self.value(answer.selection)
        return True

    def compare(self, selection: list[int]) -> None:
        """Take a selection if it is better than the best."""
        if (value := self.value(selection)) < self.least:
            self.best, self.least = selection, value

    def enough(self) -> Fraction:
        """Choices of this value or more are not looked for."""
        return self.least - Fraction(TOLERANCE) * abs(self.least)

    def reduced(self, touch: float, allowed: Allowed, most: Fraction | None) -> tuple[Fraction, Reduced | None]:
        """c touch^2, and what choices of `most` or less may take of the allowed variants, by the tangent at touch."""
        square = Fraction(self.cosine) * Fraction(touch) ** 2
        total = None if most is None else most + square
        return square, program.reduced(self.tangent(touch), allowed, total, self.solver)

    def relaxed(self, allowed: Allowed) -> list[float]:
        """Points at which tangents make a bound of the linear relaxation, the last one at its optimum."""
        touches = [self.total(self.best)]
        for _ in range(_RELAXED):
            tangents = Square(self.roots, self.cosine, touches, 0.0)
            answer = milp.solve(self.linear, self.program.rows, allowed, self.solver, False, tangents)
            if answer is None:
                break
            layers = zip(self.roots, answer.allowed, answer.x, strict=True)
            at = math.fsum(x * row[j] for row, layer, xs in layers for j, x in zip(layer, xs, strict=True))
            if self.cosine * min((at - touch) ** 2 for touch in touches) <= TOLERANCE * abs(self.least):
                break
            touches.append(at)
        return touches

    def proven(self) -> float:
        """Search to the end; the value that no choice is below."""
        allowed, touches = self.every, [self.total(self.best)]
        while len(touches) <= _TANGENTS:
            square, left = self.reduced(touches[-1], allowed, self.enough())
            if left is None or self.tried(left, self.enough() + square):
                return float(self.enough())
            allowed = left.allowed
            if len(touches) == 1:
                touches = self.relaxed(allowed)
            tangents = Square(self.roots, self.cosine, touches, TOLERANCE / 2 * abs(float(self.least)))
            answer = program.verified(self.linear, self.program.rows, allowed, self.solver, tangents)
            if answer is None:
                return float(self.enough())
            selection, bound = answer
            self.compare(selection)
            # Where a tangent touches at the optimum, they are one: the solver has proven it as any linear one.
            if bound >= self.enough() or self.total(selection) in touches:
                return float(self.enough())
            touches.append(self.total(selection))
        raise RuntimeError(f"{self.solver} proves no optimum by {_TANGENTS} tangents")

    def tried(self, left: Reduced, most: Fraction) -> bool:
        """Try all combinations that may have a tangent of `most` or less; False if they are too many."""
        picks = _combinations(left.penalties, most - left.bound)
        if picks is None:
            return False
        tables = [self.program.objective, self.roots, *(row.coefficients for row in self.program.rows)]
        sums = np.zeros((len(tables), len(picks)))
        for i, layer in enumerate(left.allowed):
            numbers = np.array([[table[i][j] for j in layer] for table in tables], float)
            numbers[0] -= self.cosine * numbers[1] ** 2
            sums += numbers[:, picks[:, i]]
        values = sums[0] + self.cosine * sums[1] ** 2
        limits = np.array([[float(row.limit)] for row in self.program.rows]).reshape(-1, 1)
        values[(sums[2:] > limits + _SLACK * np.abs(limits)).any(axis=0)] = math.inf  # to be kept exactly below
        for k in np.argsort(values, kind="stable"):
            if values[k] == math.inf:
                break
            selection = [layer[j] for layer, j in zip(left.allowed, picks[k], strict=True)]
            if self.value(selection) >= self.enough():
                break
            if all(row.holds(selection) for row in self.program.rows):
                self.compare(selection)
                break
        return True


def _combinations(penalties: Sequence[Sequence[Fraction]], gap: Fraction) -> NDArray | None:
    """Every choice of one position a layer whose penalties sum to the gap or less, (n, layers); None if n > _MOST."""
    spent, picks = np.zeros(1), np.zeros((1, 0), np.int16)
    for layer in penalties:
        sums = spent[:, None] + np.array([float(p) for p in layer])
        rows, columns = np.nonzero(sums <= float(gap) * (1 + 1e-9))
        if len(rows) > _MOST:
            return None
        spent, picks = sums[rows, columns], np.column_stack((picks[rows], columns.astype(np.int16)))
    return picks
