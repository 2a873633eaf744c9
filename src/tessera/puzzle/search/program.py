"""The mixed-integer program of the search: one variant per layer, a linear objective, linear budgets.

    x[i,j] in {0,1};   minimise sum s[i,j] x[i,j];   sum_j x[i,j] = 1 for every layer i;   sum a[k,i,j] x[i,j] <= b[k]

It knows numbers only: layers and variants are positions. Written with PuLP, solved to gap 0 by HiGHS or CBC, and every
answer is summed again in exact arithmetic. Around the solver stand four sound reductions that make it fast and its
answer canonical: layers that are alike in all numbers become one, of which each variant is taken a number of times;
dominated variants are dropped; the linear relaxation's multipliers remove every variant that no optimum can hold
(reduced-cost fixing); and what is left is solved once more for the canonical one among equal optima.
"""

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from tessera.puzzle.search.milp import Square, alike, nearest
from tessera.puzzle.search.milp import solve as _solve
from tessera.puzzle.search.rows import TOLERANCE, Allowed, Row, Table, integers, summed
from tessera.puzzle.search_params import Solver

#: The program is solved again without the scores that no optimum can hold and that are this much larger than its own.
_SPREAD = 1_000
#: A solver resolves about 1e-11 of the widest score, which may exceed what matters by this.
_FINE = 4
_MAX_CUTS = 100
_MAX_SPLIT = 8


@dataclass(frozen=True)
class Program:
    """Objective s (minimised), budgets, and distinct integer weights that distinguish equal optima."""

    objective: Table
    rows: Sequence[Row]
    weights: Sequence[Sequence[int]]

    @cached_property
    def scores(self) -> tuple[list[list[int]], int]:
        """The objective as integers, and the unit that they are multiplied by."""
        return integers(self.objective)

    def value(self, selection: Sequence[int]) -> Fraction:
        """Exact objective of a selection."""
        scores, unit = self.scores
        return Fraction(sum(layer[j] for layer, j in zip(scores, selection, strict=True)), unit)


@dataclass(frozen=True)
class Optimum:
    """A proven optimum: the variant's position in each layer, the bounds below it and each row's multiplier.

    `bound` is the solver's proven lower bound, `relaxation` the Lagrangian bound at the multipliers of the linear
    relaxation, summed again and valid whatever the solver did. A multiplier is the objective's fall per unit of budget.
    """

    selection: list[int]
    value: float
    bound: float
    relaxation: float
    multipliers: list[float]


def total(table: Table, selection: Sequence[int]) -> float:
    """Exact sum of the chosen entries; infinite beyond the range of floats."""
    return summed([layer[j] for layer, j in zip(table, selection, strict=True)])


def solve(program: Program, solver: Solver = "highs", among: Allowed | None = None) -> Optimum | None:
    """Return the canonical optimum, or None if no selection keeps every row.

    among are the positions that the selections of interest have, if it is known, as `reduced` tells it.

    Among optima (objectives that differ by no more than TOLERANCE of the optimum and of its excess over the
    unconstrained best; exactly equal ones if all scores are integers) it is the one of least summed weight, where
    layers that are alike in all numbers have the weights of the first and take their variants in order of position.
    Costs a linear program, an integer program over the variants that the linear one, rounded, leaves in question, and a
    third over those that might tie; all again if the answer rules out scores that dwarf the others.
    """
    groups = alike([program.objective, *(row.coefficients for row in program.rows)])
    first = {i: group[0] for group in groups for i in group}
    program = replace(program, weights=[program.weights[first[i]] for i in range(len(program.weights))])
    allowed = _undominated(program, among or [list(range(len(layer))) for layer in program.objective])
    while True:
        relaxed = _solve(program.objective, program.rows, allowed, solver, integer=False)
        if relaxed is None:
            return None
        left = allowed = relaxed.allowed
        penalised, relaxation = _lagrangian(program, allowed, relaxed.multipliers)
        if (rounded := _rounded(program, allowed, relaxed.x)) is not None:
            gap = program.value(rounded) - relaxation + _tie(program, allowed, rounded)
            left, penalised = _promising(allowed, penalised, gap)
        answer = None
        while again := verified(program.objective, program.rows, left, solver):
            answer = selection, bound = again
            wide = _width(program, left)
            gap = program.value(selection) - relaxation + _tie(program, allowed, selection)
            left, penalised = _promising(left, penalised, gap)
            if wide <= _FINE * _width(program, left):  # else the solver's tolerance was too coarse for what is left
                break
        if answer is None:
            return None
        before, allowed = allowed, _comparable(program, allowed, selection, solver)
        if allowed == before:
            break
    if any(len(layer) > 1 for layer in left):
        most = program.value(selection) + _tie(program, allowed, selection)
        equal = Row("objective", program.objective, most, tolerance=0.0)
        canonical = verified(program.weights, [*program.rows, equal], left, solver)
        selection = canonical[0] if canonical else selection
    value = total(program.objective, selection)
    below = nearest(relaxation)
    return Optimum(selection, value, min(max(bound, below), value), min(below, value), relaxed.prices)


@dataclass(frozen=True)
class Reduced:
    """What selections of an objective of `most` or less may take.

    Each variant has the penalty by which it alone raises the bound: a selection whose penalties sum to more than
    most - bound has a greater objective. Positions as in `allowed`.
    """

    allowed: Allowed
    penalties: list[list[Fraction]]
    bound: Fraction
    multipliers: list[float]
    """Of the rows, see `Optimum`."""


def reduced(program: Program, allowed: Allowed, most: Fraction | None, solver: Solver = "highs") -> Reduced | None:
    """Drop the variants that no selection of an objective of `most` or less may have; None if there is no such one.

    What is left need not be in one: it costs a linear program, not a search. most = None drops none that can be chosen.
    """
    relaxed = _solve(program.objective, program.rows, allowed, solver, integer=False)
    if relaxed is None:
        return None
    penalised, bound = _lagrangian(program, relaxed.allowed, relaxed.multipliers)
    if most is None:
        return Reduced(relaxed.allowed, penalised, bound, relaxed.prices)
    left, penalties = _promising(relaxed.allowed, penalised, most - bound)
    return Reduced(left, penalties, bound, relaxed.prices) if all(left) else None


def _tie(program: Program, allowed: Allowed, selection: Sequence[int]) -> Fraction:
    """Objectives within this of the selection's count as equal to it."""
    scores, unit = program.scores
    if all(scores[i][j] % unit == 0 for i, layer in enumerate(allowed) for j in layer):
        return Fraction(0)
    size = sum(abs(layer[j]) for layer, j in zip(scores, selection, strict=True))
    rounding = 4 * Fraction(sys.float_info.epsilon) * Fraction(size, unit)
    least = min(max(_excess(program, allowed, selection), Fraction(0)), abs(program.value(selection)))
    return Fraction(TOLERANCE) * least + rounding


def _excess(program: Program, allowed: Allowed, selection: Sequence[int]) -> Fraction:
    """What the budgets cost: the objective less that of the best allowed variants."""
    scores, unit = program.scores
    best = sum(min(scores[i][j] for j in layer) for i, layer in enumerate(allowed))
    return program.value(selection) - Fraction(best, unit)


def _width(program: Program, allowed: Allowed) -> int:
    """Greatest difference between the scores of a layer's allowed variants, in units."""
    chosen = [[row[j] for j in layer] for row, layer in zip(program.scores[0], allowed, strict=True)]
    return max(max(layer) - min(layer) for layer in chosen)


def _comparable(program: Program, allowed: Allowed, selection: Sequence[int], solver: Solver) -> Allowed:
    """The allowed variants less those that the optimum's selection rules out and whose scores dwarf all others.

    A score that exceeds its layer's best by more than the optimum's excess is in no optimum. A score so low that it
    dwarfs the optimum, which does without it, may be one that no selection can have: a program of its own decides.
    """
    scores, unit = program.scores
    while _excess(program, allowed, selection) > _FINE * abs(program.value(selection)):
        _, i, j = min((scores[i][j] - scores[i][selection[i]], i, j) for i, layer in enumerate(allowed) for j in layer)
        fixed = [[j] if k == i else layer for k, layer in enumerate(allowed)]
        if verified([[0] * len(layer) for layer in scores], program.rows, fixed, solver) is not None:
            break
        (group,) = (g for g in alike([program.objective, *(r.coefficients for r in program.rows)]) if i in g)
        allowed = [[v for v in layer if k not in group or v != j] for k, layer in enumerate(allowed)]
    room = math.floor((_excess(program, allowed, selection) + _tie(program, allowed, selection)) * unit)
    best = [min(scores[i][j] for j in layer) for i, layer in enumerate(allowed)]
    return [[j for j in layer if scores[i][j] - best[i] <= _SPREAD * room] for i, layer in enumerate(allowed)]


def _undominated(program: Program, among: Allowed) -> Allowed:
    """The given positions of each layer's variants but those that another of them equals or betters in all numbers.

    Rows of earlier solutions take part like any other, so this stays sound under them.
    """
    kept = []
    tables = [program.objective, *(row.coefficients for row in program.rows)]
    for i, (weights, layer) in enumerate(zip(program.weights, among, strict=True)):
        columns = np.array([_ranks([table[i][j] for j in layer]) for table in tables])
        no_worse = (columns[:, :, None] <= columns[:, None, :]).all(axis=0)  # [j, k]: j is no worse than k
        chosen = np.array([weights[j] for j in layer])
        dominates = no_worse & (~no_worse.T | (chosen[:, None] < chosen[None, :]))
        kept.append([layer[k] for k in np.flatnonzero(~dominates.any(axis=0))])
    return kept


def _ranks(numbers: Sequence[float]) -> list[int]:
    """Position of each number among the distinct ones in ascending order; exact for integers of any size."""
    order = {number: n for n, number in enumerate(sorted(set(numbers)))}
    return [order[number] for number in numbers]


def _lagrangian(
    program: Program, allowed: Allowed, multipliers: Sequence[Fraction]
) -> tuple[list[list[Fraction]], Fraction]:
    """Objective penalised by the multipliers, less each layer's least, and the bound L(multipliers) <= optimum.

    Exact, over the rows as the solver had them. A multiplier counts units of the objective per unit of its row.
    """
    scores, unit = program.scores
    common = math.lcm(*(m.denominator for m in multipliers))
    penalised = [[scores[i][j] * common for j in layer] for i, layer in enumerate(allowed)]
    bound = 0
    for row, multiplier in zip(program.rows, multipliers, strict=True):
        if multiplier and (tightened := row.tightened(allowed)):
            price = int(multiplier * common)
            penalised = [
                [p + price * c for p, c in zip(*pair, strict=True)]
                for pair in zip(penalised, tightened[0], strict=True)
            ]
            bound -= price * tightened[1]
    least = [min(layer) for layer in penalised]
    over = [[Fraction(p - low, unit * common) for p in layer] for layer, low in zip(penalised, least, strict=True)]
    return over, Fraction(bound + sum(least), unit * common)


def _promising(
    allowed: Allowed, penalised: list[list[Fraction]], gap: Fraction
) -> tuple[Allowed, list[list[Fraction]]]:
    """Drop every variant that by itself raises the Lagrangian bound by more than the gap."""
    kept = [[(j, p) for j, p in zip(*pair, strict=True) if p <= gap] for pair in zip(allowed, penalised, strict=True)]
    return [[j for j, _ in layer] for layer in kept], [[p for _, p in layer] for layer in kept]


def _rounded(program: Program, allowed: Allowed, x: list[list[float]]) -> list[int] | None:
    """The best feasible selection that agrees with a relaxed solution wherever that is integral, if one is found.

    A vertex of the relaxation splits about as many layers as there are rows. A lone split layer tries all its variants,
    several try those that they are split between.
    """
    split = [i for i, values in enumerate(x) if max(values) < 1 - 1e-6]
    selection = [layer[int(np.argmax(values))] for layer, values in zip(allowed, x, strict=True)]
    if len(split) > _MAX_SPLIT:
        return None
    choices = [[j for j, v in zip(allowed[i], x[i], strict=True) if v > 1e-6 or len(split) == 1] for i in split]
    best: tuple[Fraction, list[int]] | None = None
    for combination in itertools.product(*choices):
        for i, j in zip(split, combination, strict=True):
            selection[i] = j
        if all(row.holds(selection) for row in program.rows):
            value = program.value(selection)
            if best is None or value < best[0]:
                best = value, selection.copy()
    return best[1] if best else None


def verified(
    objective: Table, rows: Sequence[Row], allowed: Allowed, solver: Solver, square: Square | None = None
) -> tuple[list[int], float] | None:
    """Best selection that keeps every row in exact arithmetic, and the solver's bound; None if no selection does.

    A selection that the solver's own tolerance let through is cut off and the program solved again.
    """
    cuts: list[Row] = []
    bound = -math.inf
    for _ in range(_MAX_CUTS):
        kept = [*rows, *cuts]
        answer = _solve(objective, kept, allowed, solver, integer=True, square=square)
        if answer is None:  # a solver may err on coefficients of many decades: ask again without the tiny ones
            coarse = [row.coarse(allowed) for row in kept]
            answer = _solve(objective, coarse, allowed, solver, integer=True, square=square)
        if answer is None:
            return None
        bound = max(bound, answer.bound)
        if all(row.holds(answer.selection) for row in rows):
            return answer.selection, bound
        same = [
            [int(j == chosen) for j in range(len(s))] for s, chosen in zip(objective, answer.selection, strict=True)
        ]
        cuts.append(Row("cut", same, len(objective) - 1))
    raise RuntimeError(f"{solver} gave {_MAX_CUTS} selections that break {_broken(rows, cuts)} by a hair")


def _broken(rows: Sequence[Row], cuts: Sequence[Row]) -> str:
    """Names of the rows that the last selection that was cut off breaks."""
    last = [list(same).index(1) for same in cuts[-1].coefficients]
    return ", ".join(row.name for row in rows if not row.holds(last))
