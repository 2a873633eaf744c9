"""The program as the solvers see it: scaled, with variables shared by layers that are alike, by HiGHS or CBC."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pulp

from tessera.puzzle.search.rows import Allowed, Row, Table, integers, possible
from tessera.puzzle.search_params import Solver

#: Coefficients are scaled to this before the solver sees them: its absolute tolerance of 1e-8 is then far below ours.
_SCALE = 10_000


@dataclass(frozen=True)
class Answer:
    """What a solver says, and the lower bound that it claims.

    allowed: variants that the rows leave possible; x: their values. Of a linear program, multipliers: the objective's
    fall in its units (`rows.integers`) per unit of each row; prices: the same in the library's own units.
    """

    selection: list[int]
    bound: float
    multipliers: list[Fraction]
    prices: list[float]
    allowed: Allowed
    x: list[list[float]]


@dataclass(frozen=True)
class Square:
    """What is added to an objective: the greatest of the tangents of factor A^2, A the sum of the chosen entries.

    They touch at A = touches; an optimum within gap suffices.
    """

    entries: Table
    factor: float
    touches: Sequence[float]
    gap: float


def alike(tables: Sequence[Table]) -> list[list[int]]:
    """Layers in groups that have the same numbers in every table."""
    groups: dict[tuple, list[int]] = {}
    for i in range(len(tables[0])):
        groups.setdefault(tuple(tuple(table[i]) for table in tables), []).append(i)
    return list(groups.values())


def _shared(counts: Sequence[float], layers: int) -> list[list[float]]:
    """Give `layers` layers, in order, a total of counts[j] of each variant j, one each, and as few as can be of two."""
    shares = [[0.0] * len(counts) for _ in range(layers)]
    ends = np.cumsum(counts)
    for n, share in enumerate(shares):
        for j, (end, count) in enumerate(zip(ends, counts, strict=True)):
            share[j] = max(0.0, min(end, n + 1) - max(end - count, n))
    return shares


def nearest(number: Fraction) -> float:
    """The nearest float, of which the largest stands for all beyond it."""
    largest = Fraction(sys.float_info.max)
    return float(max(-largest, min(number, largest)))


def solve(
    objective: Table,
    rows: Sequence[Row],
    allowed: Allowed,
    solver: Solver,
    integer: bool,
    square: Square | None = None,
) -> Answer | None:
    """Build the program over the allowed variants that can be chosen and solve it; None if it is infeasible.

    Each layer's least coefficient is taken off first (one variant a layer is chosen, so it is a constant) and rows and
    objective are scaled, for the solver's tolerances are absolute. Layers that are alike share their variables, or the
    solver would try one exchange of two after the other.
    """
    able = possible(rows, allowed)
    if able is None:
        return None
    problem = pulp.LpProblem("puzzle", pulp.LpMinimize)
    category = pulp.LpInteger if integer else pulp.LpContinuous
    entries = [square.entries] if square else []
    groups = alike([able, objective, *entries, *(row.coefficients for row in rows)])
    x = [[problem.add_variable(f"x_{g[0]}_{j}", 0, len(g), category) for j in able[g[0]]] for g in groups]
    scores, unit = integers(objective)
    chosen = [[row[j] for j in layer] for row, layer in zip(scores, able, strict=True)]
    least = [min(layer) for layer in chosen]
    over = [[s - low for s in layer] for layer, low in zip(chosen, least, strict=True)]
    width = max(map(max, over)) or unit
    if square:
        steepest = 2 * square.factor * max(square.touches)
        width = max(
            width, *(int(Fraction(steepest * square.entries[i][j]) * unit) for i, a in enumerate(able) for j in a)
        )
    terms = _terms(x, over, groups, width)
    if square:
        scale = _SCALE * (unit / width)
        above = problem.add_variable("square", 0)
        terms.append((above, 1))
        for touch in square.touches:
            slope = 2 * square.factor * touch * scale
            tangent = [
                (v, -slope * square.entries[group[0]][j])
                for group, xs in zip(groups, x, strict=True)
                for v, j in zip(xs, able[group[0]], strict=True)
            ]
            problem += pulp.LpAffineExpression([(above, 1), *tangent]) >= -square.factor * touch**2 * scale
    problem += pulp.LpAffineExpression(terms)
    for group, xs in zip(groups, x, strict=True):
        problem += pulp.LpAffineExpression([(v, 1) for v in xs]) == len(group), f"layer_{group[0]}"
    widths: dict[int, int] = {}
    for k, row in enumerate(rows):
        if tightened := row.tightened(able):
            a, room = tightened
            widths[k] = max(map(max, a))
            # Sums are whole units: half a unit more lets no other selection in.
            limit = (2 * room + 1) / (2 * widths[k]) * _SCALE
            problem += pulp.LpAffineExpression(_terms(x, a, groups, widths[k])) <= limit, f"row_{k}"
    # An integer objective that cannot fall by 1 is at its optimum.
    whole = not square and all(s % unit == 0 for layer in chosen for s in layer)
    gap = 0.9 * _SCALE * (unit / width) if whole else 0.0
    if square:
        gap = square.gap * scale
    for presolve in (True, False):  # either solver's presolve errs now and then, and CBC's may crash
        try:
            status = problem.solve(_engine(solver, integer, gap, presolve))
        except pulp.PulpSolverError:
            if not presolve:
                raise
            continue
        if status == pulp.LpStatusOptimal:
            break
    if status == pulp.LpStatusInfeasible:
        return None
    if status != pulp.LpStatusOptimal:
        raise RuntimeError(f"{solver} stopped with status {pulp.LpStatus[status]!r}")
    values: list[list[float]] = [[] for _ in able]
    for group, xs in zip(groups, x, strict=True):
        counts = [round(v.value()) if integer else v.value() for v in xs]
        for i, share in zip(group, _shared(counts, len(group)), strict=True):
            values[i] = share
    selection = [layer[int(np.argmax(vs))] for layer, vs in zip(able, values, strict=True)]
    multipliers, prices = [Fraction(0)] * len(rows), [0.0] * len(rows)
    for k, wide in widths.items() if not integer else ():
        price = max(0.0, -(problem.get_constraint_by_name(f"row_{k}").pi or 0.0))
        multipliers[k] = Fraction(price) * Fraction(width, wide)
        prices[k] = nearest(multipliers[k] * Fraction(rows[k].numbers[1], unit))
    dual = (
        problem.solverModel.getInfo().mip_dual_bound if solver == "highs" and integer else pulp.value(problem.objective)
    )
    bound = Fraction(dual or 0.0) * width / (_SCALE * unit) + Fraction(sum(least), unit)
    if whole:
        bound = Fraction(math.ceil(bound - Fraction(1, 1000)))
    return Answer(selection, nearest(bound), multipliers, prices, able, values)


def _terms(x: list[list[pulp.LpVariable]], table: list[list[int]], groups: list[list[int]], width: int) -> list[tuple]:
    """Variables of every group with the coefficients of its layers, scaled by the greatest of the table.

    What is smaller than the solvers' tolerance is left out: HiGHS ignores it, and CBC errs on it.
    """
    return [
        (v, c / width * _SCALE)
        for xs, group in zip(x, groups, strict=True)
        for v, c in zip(xs, table[group[0]], strict=True)
        if c * 10**9 * _SCALE > width
    ]


def _engine(solver: Solver, integer: bool, gap: float, presolve: bool) -> pulp.LpSolver:
    common: dict[str, Any] = dict(mip=integer, msg=False, gapRel=0.0, gapAbs=gap, threads=1)
    if solver == "highs":
        names = ("primal_feasibility_tolerance", "dual_feasibility_tolerance", "mip_feasibility_tolerance")
        return pulp.HiGHS(**common, **dict.fromkeys(names, 1e-9), presolve="choose" if presolve else "off")
    if solver == "cbc":
        # At a primal tolerance of 1e-9 it occasionally misses an existing selection, or the best one.
        options = ["primalTolerance 1e-8", "dualTolerance 1e-9", "integerTolerance 1e-9", f"increment {gap or 1e-9}"]
        return pulp.PULP_CBC_CMD(
            **common, options=options if presolve else [*options, "presolve off", "preprocess off"]
        )
    raise ValueError(f"solver is {solver!r}; expected 'highs' or 'cbc'")
