"""The search with interactions: exchanges that reinforce one another cost more together than their scores say.

    minimise  sum_b s_b + c (A^2 - sum_b r_b^2),      A = sum_b r_b,      over the chosen blocks b

With r_b the root of the score of a block's attention this is, to second order, the KL of a child whose exchanged
attentions change the parent's log-probabilities at a common cosine c (see ../studies/validity). Derived here; the
paper's search is c = 0.

The one square is all that is not linear. Where A is within an interval, A^2 is at least its tangent at any point of it,
so the linear program with the tangent in place of the square bounds what is possible there from below. Of the variants
that its relaxation leaves to a choice that is better than the best known, all combinations are tried; if they are too
many, the interval is halved.
"""

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera.puzzle.models.space import PARENT, compose, decompose
from tessera.puzzle.search import block_library, program
from tessera.puzzle.search import solver as linear
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.search.milp import Solver
from tessera.puzzle.search.program import Program, Reduced
from tessera.puzzle.search.rows import Allowed, Row, Table
from tessera.puzzle.search.solver import NONE, Choice, Limits, Solution

#: The optimum is proven to this share of itself.
TOLERANCE = 1e-6
#: Tangents whose optima are the first choices.
_STARTS = 3
#: Combinations that are tried at once, and the share by which they may break a budget in floats.
_MOST, _SLACK = 20_000, 1e-6


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
    touching = program.solve(search.tangent(search.total(search.best)), solver)
    assert touching is not None
    return Solution(
        choice,
        float(search.least),
        linear.costs(library, choice, [*at_most, *at_least]),
        min(bound, float(search.least)),
        "optimal",
        touching.relaxation - cosine * search.total(search.best) ** 2,
        {row.name: price for row, price in zip(problem.limits, touching.multipliers, strict=False)},
    )


class _Search:
    """The search over positions; `best` is the best selection so far, `least` its exact value."""

    best: list[int]
    least: Fraction

    def __init__(self, given: Program, roots: Table, cosine: float, solver: Solver) -> None:
        self.program, self.roots, self.cosine, self.solver = given, roots, cosine, solver

    def tangent(self, touch: float, *rows: Row) -> Program:
        """The linear program whose objective, less c touch^2, bounds ours from below; they touch at A = touch."""
        pairs = zip(self.program.objective, self.roots, strict=True)
        objective = [[s + self.cosine * r * (2 * touch - r) for s, r in zip(*pair, strict=True)] for pair in pairs]
        return replace(self.program, objective=objective, rows=[*self.program.rows, *rows])

    def value(self, selection: Sequence[int]) -> Fraction:
        """The exact objective."""
        r = [Fraction(layer[j]) for layer, j in zip(self.roots, selection, strict=True)]
        return self.program.value(selection) + Fraction(self.cosine) * (sum(r) ** 2 - sum(x * x for x in r))

    def total(self, selection: Sequence[int]) -> float:
        """A."""
        return math.fsum(layer[j] for layer, j in zip(self.roots, selection, strict=True))

    def start(self) -> bool:
        """Take the best of the first tangents' optima; False if there is none."""
        touch = 0.0
        for n in range(_STARTS):
            answer = program.solve(self.tangent(touch), self.solver)
            if answer is None:
                return False
            if n == 0:
                self.best, self.least = answer.selection, self.value(answer.selection)
            self.compare(answer.selection)
            touch = (touch + self.total(answer.selection)) / 2 if touch else self.total(answer.selection)
        return True

    def compare(self, selection: list[int]) -> None:
        """Take a selection if it is better than the best."""
        if (value := self.value(selection)) < self.least:
            self.best, self.least = selection, value

    def enough(self) -> Fraction:
        """Choices of this value or more are not looked for."""
        return self.least - Fraction(TOLERANCE) * abs(self.least)

    def proven(self) -> float:
        """Search to the end; the value that no choice is below."""
        order, every = itertools.count(), [list(range(len(layer))) for layer in self.roots]
        ends = [math.fsum(end(layer) for layer in self.roots) for end in (min, max)]
        # Intervals of A: a bound of what is possible there, the age, the ends, and what a better choice may take.
        nodes: list[tuple[float, int, float, float, Allowed]] = [(-math.inf, next(order), ends[0], ends[1], every)]
        while nodes:
            bound, _, low, high, allowed = heapq.heappop(nodes)
            if bound >= self.enough():
                break
            touch = min(max(low, self.total(self.best)), high)
            sides = Row("root", self.roots, high), Row("root", [[-r for r in layer] for layer in self.roots], -low)
            between, square = self.tangent(touch, *sides), Fraction(self.cosine) * Fraction(touch) ** 2
            left = program.reduced(between, allowed, self.enough() + square, self.solver)
            if left is None or self.tried(left, self.enough() + square):
                continue
            # Without the sides the program is easier, and its optimum bounds what is between them as well.
            answer = program.solve(self.tangent(touch), self.solver, left.allowed)
            if answer is None:
                continue
            self.compare(answer.selection)
            below = answer.bound - float(square)
            if below >= self.enough():
                continue
            middle = touch if low < touch < high else (low + high) / 2
            if self.cosine * (high - low) ** 2 > TOLERANCE * abs(self.least) and low < middle < high:
                heapq.heappush(nodes, (below, next(order), low, middle, left.allowed))
                heapq.heappush(nodes, (below, next(order), middle, high, left.allowed))
            elif answer := program.solve(between, self.solver, left.allowed):  # here tangent and square are one
                self.compare(answer.selection)
        return float(self.enough())

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
