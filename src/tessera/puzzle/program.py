"""The mixed-integer program of the search: one variant a layer, a linear objective, linear budgets.

    x[i,j] in {0,1};   minimise sum s[i,j] x[i,j];   sum_j x[i,j] = 1 for every layer i;   sum a[k,i,j] x[i,j] <= b[k]

It knows numbers only: layers and variants are positions. Written with PuLP, solved to gap 0 by HiGHS or CBC, and every
answer is summed again in exact arithmetic. Around the solver stand four sound reductions that make it fast and its
answer canonical: layers that are alike in all numbers become one, of which each variant is taken so many times;
dominated variants are dropped; the linear relaxation's multipliers remove every variant that no optimum can hold
(reduced-cost fixing); and what is left is solved once more for the canonical one among equal optima.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pulp

Solver = Literal["highs", "cbc"]
Table = Sequence[Sequence[float]]  # one row a layer, one number a variant

#: Budgets given as floats may be overspent, and objectives may differ and still tie, by this share; integers are exact.
TOLERANCE = 1e-9
#: Coefficients are scaled to this before the solver sees them: its absolute tolerance of 1e-9 is then far below ours.
_SCALE = 1e4
_MAX_CUTS = 100
_MAX_SPLIT = 8


@dataclass(frozen=True)
class Row:
    """A budget: sum of the chosen coefficients <= limit. The slack is 0 for integers, else tolerance * |limit|."""

    name: str
    coefficients: Table
    limit: float
    tolerance: float = TOLERANCE

    @cached_property
    def exact(self) -> bool:
        """Whether all numbers of the row are integers."""
        return float(self.limit).is_integer() and _integers(self.coefficients)

    @cached_property
    def slack(self) -> float:
        return 0.0 if self.exact else self.tolerance * abs(self.limit)

    def holds(self, selection: Sequence[int]) -> bool:
        """Whether the budget is kept, in exact arithmetic."""
        return total(self.coefficients, selection) <= self.limit + self.slack


@dataclass(frozen=True)
class Program:
    """Objective s (minimised), budgets, and distinct integer weights by which equal optima are told apart."""

    objective: Table
    rows: Sequence[Row]
    weights: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Optimum:
    """A proven optimum: the variant's position in each layer, the bounds below it and each row's multiplier.

    `bound` is the solver's proven lower bound, `relaxation` the Lagrangian bound at the multipliers of the linear
    relaxation, summed anew and valid whatever the solver did. A multiplier is the objective's fall per unit of budget.
    """

    selection: list[int]
    value: float
    bound: float
    relaxation: float
    multipliers: list[float]


def total(table: Table, selection: Sequence[int]) -> float:
    """Exact sum of the chosen entries: of integers exactly, of floats correctly rounded."""
    chosen = [layer[j] for layer, j in zip(table, selection, strict=True)]
    if all(float(c).is_integer() for c in chosen):
        return sum(int(c) for c in chosen)
    return math.fsum(chosen)


def solve(program: Program, solver: Solver = "highs") -> Optimum | None:
    """Return the canonical optimum, or None where no selection keeps every row.

    Among optima (objectives within TOLERANCE of the optimum's excess over the unconstrained best; exactly equal ones
    where all scores are integers) it is the one of least summed weight, where layers that are alike in all numbers have
    the weights of the first and take their variants in order of position. Costs a linear program, an integer program
    over the variants that the linear one, rounded, leaves in question, and a third over those that might tie.
    """
    alike = _alike([program.objective, *(row.coefficients for row in program.rows)])
    first = {i: group[0] for group in alike for i in group}
    program = replace(program, weights=[program.weights[first[i]] for i in range(len(program.weights))])
    allowed = _undominated(program)
    relaxed = _solve(program.objective, program.rows, allowed, solver, integer=False)
    if relaxed is None:
        return None
    multipliers = relaxed.multipliers
    penalised, relaxation = _lagrangian(program, allowed, multipliers)
    if (rounded := _rounded(program, allowed, relaxed.x)) is not None:
        value = total(program.objective, rounded)
        allowed, penalised = _promising(allowed, penalised, value - relaxation + _tie(program.objective, value))
    answer = _verified(program.objective, program.rows, allowed, solver)
    if answer is None:
        return None
    selection, bound = answer
    value = total(program.objective, selection)
    tie = _tie(program.objective, value)
    allowed, _ = _promising(allowed, penalised, value - relaxation + tie)
    if any(len(layer) > 1 for layer in allowed):
        equal = Row("objective", program.objective, value + tie, tolerance=0.0)
        canonical = _verified(program.weights, [*program.rows, equal], allowed, solver)
        if canonical is None:
            raise RuntimeError(f"{solver} lost the optimum it had found; please report this library")
        selection = canonical[0]
        value = total(program.objective, selection)
    return Optimum(selection, value, min(bound, value), min(relaxation, value), multipliers)


def _alike(tables: Sequence[Table]) -> list[list[int]]:
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


def _integers(table: Table) -> bool:
    return all(float(c).is_integer() for layer in table for c in layer)


def _tie(objective: Table, value: float) -> float:
    """Objectives within this of the optimal value count as equal to it."""
    if _integers(objective):
        return 0.0
    excess = value - math.fsum(min(layer) for layer in objective)
    rounding = 4 * np.finfo(float).eps * math.fsum(max(map(abs, layer)) for layer in objective)
    return TOLERANCE * max(excess, 0.0) + rounding


def _undominated(program: Program) -> list[list[int]]:
    """Positions of each layer's variants but those that another one equals or betters in the objective and every row.

    Rows of earlier solutions take part like any other, so this stays sound under them.
    """
    kept = []
    for i, weights in enumerate(program.weights):
        columns = np.array([program.objective[i], *(row.coefficients[i] for row in program.rows)], dtype=float)
        no_worse = (columns[:, :, None] <= columns[:, None, :]).all(axis=0)  # [j, k]: j is no worse than k
        earlier = np.array(weights)[:, None] < np.array(weights)[None, :]
        dominates = no_worse & (~no_worse.T | earlier)
        kept.append([int(k) for k in np.flatnonzero(~dominates.any(axis=0))])
    return kept


def _lagrangian(
    program: Program, allowed: list[list[int]], multipliers: Sequence[float]
) -> tuple[list[np.ndarray], float]:
    """Objective penalised by the multipliers, less each layer's least, and the bound L(multipliers) <= optimum."""
    penalised = []
    for i, layer in enumerate(allowed):
        p = np.array(program.objective[i], dtype=float)[layer]
        for row, multiplier in zip(program.rows, multipliers, strict=True):
            if multiplier:
                p = p + multiplier * np.array(row.coefficients[i], dtype=float)[layer]
        penalised.append(p)
    spent = math.fsum(m * (row.limit + row.slack) for row, m in zip(program.rows, multipliers, strict=True))
    bound = math.fsum([*(float(p.min()) for p in penalised), -spent])
    noise = 1e-13 * math.fsum([*(float(np.abs(p).max()) for p in penalised), abs(spent)])
    return [p - p.min() for p in penalised], bound - noise


def _promising(
    allowed: list[list[int]], penalised: list[np.ndarray], gap: float
) -> tuple[list[list[int]], list[np.ndarray]]:
    """Drop every variant that alone lifts the Lagrangian bound by more than the gap."""
    kept = [p <= gap for p in penalised]
    left = [[j for j, k in zip(layer, keep, strict=True) if k] for layer, keep in zip(allowed, kept, strict=True)]
    return left, [p[keep] for p, keep in zip(penalised, kept, strict=True)]


def _rounded(program: Program, allowed: list[list[int]], x: list[list[float]]) -> list[int] | None:
    """The best feasible selection that agrees with a relaxed solution wherever that is integral, if one is found.

    A vertex of the relaxation splits about as many layers as there are rows. A lone split layer tries all its variants,
    several try those that they are split between.
    """
    split = [i for i, values in enumerate(x) if max(values) < 1 - 1e-6]
    selection = [layer[int(np.argmax(values))] for layer, values in zip(allowed, x, strict=True)]
    if len(split) > _MAX_SPLIT:
        return None
    choices = [[j for j, v in zip(allowed[i], x[i], strict=True) if v > 1e-6 or len(split) == 1] for i in split]
    best: tuple[float, list[int]] | None = None
    for combination in itertools.product(*choices):
        for i, j in zip(split, combination, strict=True):
            selection[i] = j
        if all(row.holds(selection) for row in program.rows):
            value = total(program.objective, selection)
            if best is None or value < best[0]:
                best = value, selection.copy()
    return best[1] if best else None


def _verified(
    objective: Table, rows: Sequence[Row], allowed: list[list[int]], solver: Solver
) -> tuple[list[int], float] | None:
    """Best selection that keeps every row in exact arithmetic, and the solver's bound.

    A selection that the solver's own tolerance let through is cut off and the program solved again.
    """
    cuts: list[Row] = []
    bound = -math.inf
    for _ in range(_MAX_CUTS):
        answer = _solve(objective, [*rows, *cuts], allowed, solver, integer=True)
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


@dataclass(frozen=True)
class _Answer:
    selection: list[int]
    bound: float
    multipliers: list[float]
    x: list[list[float]]


def _solve(
    objective: Table, rows: Sequence[Row], allowed: list[list[int]], solver: Solver, integer: bool
) -> _Answer | None:
    """Build the program over the allowed variants and solve it; None if it is infeasible.

    Each layer's least coefficient is taken off first (one variant a layer is chosen, so it is a constant) and rows and
    objective are scaled, for the solver's tolerances are absolute. Layers that are alike share their variables, or the
    solver would try one exchange of two after the other.
    """
    problem = pulp.LpProblem("puzzle", pulp.LpMinimize)
    category = pulp.LpInteger if integer else pulp.LpContinuous
    groups = _alike([allowed, objective, *(row.coefficients for row in rows)])
    x = [[problem.add_variable(f"x_{g[0]}_{j}", 0, len(g), category) for j in allowed[g[0]]] for g in groups]
    s, s_base, s_scale = _normalised(objective, allowed)
    problem += pulp.LpAffineExpression(_terms(x, s, groups))
    for group, xs in zip(groups, x, strict=True):
        problem += pulp.LpAffineExpression([(v, 1) for v in xs]) == len(group), f"layer_{group[0]}"
    scales = []
    for k, row in enumerate(rows):
        a, base, scale = _normalised(row.coefficients, allowed)
        slack = 0.5 if row.exact else row.slack
        limit = (row.limit - base + slack) * scale
        scales.append(scale)
        if limit < 0:
            return None
        if sum(max(cs) for cs in a) > limit:
            problem += pulp.LpAffineExpression(_terms(x, a, groups)) <= limit, f"row_{k}"
    # An integer objective that cannot fall by 1 is at its optimum.
    gap = 0.9 * s_scale if _integers(objective) else 0.0
    status = problem.solve(_engine(solver, integer, gap))
    if status == pulp.LpStatusInfeasible:
        return None
    if status != pulp.LpStatusOptimal:
        raise RuntimeError(f"{solver} stopped with status {pulp.LpStatus[status]!r}")
    values: list[list[float]] = [[] for _ in allowed]
    for group, xs in zip(groups, x, strict=True):
        counts = [round(v.value()) if integer else v.value() for v in xs]
        for i, share in zip(group, _shared(counts, len(group)), strict=True):
            values[i] = share
    selection = [layer[int(np.argmax(vs))] for layer, vs in zip(allowed, values, strict=True)]
    multipliers = [0.0] * len(rows)
    for k, scale in enumerate(scales if not integer else ()):
        if (constraint := problem.get_constraint_by_name(f"row_{k}")) is not None:
            multipliers[k] = max(0.0, -(constraint.pi or 0.0)) * scale / s_scale
    dual = (
        problem.solverModel.getInfo().mip_dual_bound if solver == "highs" and integer else pulp.value(problem.objective)
    )
    bound = (dual or 0.0) / s_scale + s_base
    return _Answer(selection, math.ceil(bound - 1e-3) if gap else bound, multipliers, values)


def _terms(x: list[list[pulp.LpVariable]], table: Table, groups: list[list[int]]) -> list[tuple]:
    """Variables of every group with the coefficients of its layers."""
    return [(v, c) for xs, group in zip(x, groups, strict=True) for v, c in zip(xs, table[group[0]], strict=True) if c]


def _normalised(table: Table, allowed: list[list[int]]) -> tuple[list[list[float]], float, float]:
    """Allowed coefficients less each layer's least, scaled; the sum of the least; the scale."""
    chosen = [[table[i][j] for j in layer] for i, layer in enumerate(allowed)]
    least = [min(layer) for layer in chosen]
    widest = max(max(layer) - low for layer, low in zip(chosen, least, strict=True))
    scale = _SCALE / widest if widest > 0 else 1.0
    base = sum(least) if all(isinstance(c, int) for c in least) else math.fsum(least)
    return [[(c - low) * scale for c in layer] for layer, low in zip(chosen, least, strict=True)], base, scale


def _engine(solver: Solver, integer: bool, gap: float) -> pulp.LpSolver:
    if solver == "highs":
        tolerances = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}
        return pulp.HiGHS(
            mip=integer, msg=False, gapRel=0.0, gapAbs=gap, threads=1, mip_feasibility_tolerance=1e-9, **tolerances
        )
    if solver == "cbc":
        options = ["primalTolerance 1e-9", "dualTolerance 1e-9", "integerTolerance 1e-9", f"increment {gap or 1e-9}"]
        return pulp.PULP_CBC_CMD(mip=integer, msg=False, gapRel=0.0, gapAbs=gap, threads=1, options=options)
    raise ValueError(f"solver is {solver!r}; valid are 'highs' and 'cbc'")
