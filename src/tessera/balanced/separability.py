"""Is a task solvable at all? Checked tasks in the solvers' units, certificates, and the matrix game that decides.

With v = sum_mu l_mu y_mu x_mu, multipliers l >= 0 with sum l = 1 prove that there is no solution of any norm if
g v <= 0 and l.y >= 0 (Farkas).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

from tessera.balanced.interior_point import Program, Solution, solve, upper_bound
from tessera.balanced.patterns import DensePatterns

#: Margins below this share of the terms that they are sums of are zero: their sign is that of rounding errors.
ROUNDING = 1e-13


@dataclass(frozen=True)
class Certificate:
    """primal <= optimum <= dual, as proved by the weights and by the multipliers (P,); gap is relative.

    Raises ArithmeticError if the numbers are not finite or contradict each other: then the solver is wrong.
    """

    primal: float
    dual: float
    gap: float
    multipliers: NDArray
    iterations: int

    def __post_init__(self) -> None:
        if not (np.isfinite([self.primal, self.dual, self.gap]).all() and self.primal <= self.dual):
            raise ArithmeticError(f"certificate: {self.primal} <= optimum <= {self.dual}, gap {self.gap}: not a proof")

    @classmethod
    def of(
        cls, solution: Solution, program: Program, rows: NDArray, unit: float = 1.0, floor: float = 0.0
    ) -> Certificate:
        """Of the single problem in a batch, whose A is `rows` (P, n); unit is that of the activity.

        Bounds within rounding or the floor of zero are zero; if rounding alone crosses them, the upper gives way.
        """
        magnitude, b = np.abs(rows), np.abs(program.offset[0]).max()
        multipliers, size = solution.multipliers[0], program.size[0, 0]
        push = multipliers @ magnitude
        below = ROUNDING * ((magnitude @ solution.w[0]).max() + solution.theta.sum() + b)
        above = ROUNDING * (size * (push.max() if program.shape == "simplex" else np.linalg.norm(push)) + b)
        primal = 0.0 if abs(solution.kappa[0]) <= max(below, floor) else float(solution.kappa[0])
        dual = float(solution.bound[0])
        if primal <= 0 and abs(dual) <= max(above, floor):
            dual = 0.0
        if primal - below - above <= dual < primal:
            dual = primal + above
        gap = (dual - primal) / max(abs(primal), abs(dual)) if dual != primal else 0.0
        return cls(primal * unit, dual * unit, gap, multipliers, solution.iterations)


@dataclass(frozen=True)
class Problem:
    """A checked task in units in which activity is of order one, without the afferents that are never active.

    rows    y_mu g_i x_mu,i (P, n) of the n active afferents
    labels  y (P,)
    signs   g (N,)
    active  (N,) bool; the others' weights are zero
    start   (n,) > 0, of norm 0.9: excitation and inhibition cancel on the mean activity
    unit    of the activity: a power of two near its standard deviation, so that division by it rounds nothing
    spread  standard deviation of the activity in that unit; 0 if all of X is equal
    """

    rows: NDArray
    labels: NDArray
    signs: NDArray
    active: NDArray
    start: NDArray
    unit: float
    spread: float

    @classmethod
    def of(cls, X: ArrayLike, y: ArrayLike, signs: ArrayLike) -> Problem:
        """Raises ValueError for malformed input, see `checked`."""
        X, y, signs = checked(X, y, signs)
        active = np.atleast_1d(X.any(axis=0))
        if not active.any():
            active[0] = True  # the solvers need one; its weight decides nothing
        x = X if active.all() else X[:, active]
        largest = float(np.abs(x).max()) or 1.0
        spread = float((x / largest).std())
        unit = 2.0 ** math.floor(math.log2(largest) + math.log2(spread or 1.0))
        rows = x * signs[active]
        rows *= (y / unit)[:, None]
        start = balanced_start(x.mean(0) / unit, signs[active])
        return cls(rows, y, signs, active, start, unit, spread * (largest / unit))

    def expand(self, w: NDArray) -> NDArray:
        """Weights (N,) in the caller's unit, from g_i w_i (n,) in the problem's; exact zeros for silent afferents."""
        weights = np.zeros(len(self.active))
        if self.rows.any():
            weights[self.active] = self.signs[self.active] * w / self.unit
        return weights


@dataclass(frozen=True)
class Feasibility:
    """status: feasible, infeasible or undecided; value of the game lies within [primal, dual] of the certificate."""

    status: str
    certificate: Certificate


def checked(X: ArrayLike, y: ArrayLike, signs: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Arrays (P, N), (P,), (N,), float64; ValueError that names the argument and what is expected of it."""
    X, y, signs = np.asarray(X, float), np.asarray(y, float), np.asarray(signs, float)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X: shape {X.shape}, expected (patterns, afferents), neither of them 0")
    if y.shape != X.shape[:1]:
        raise ValueError(f"y: shape {y.shape}, expected {X.shape[:1]}, one label for each row of X")
    if signs.shape != X.shape[1:]:
        raise ValueError(f"signs: shape {signs.shape}, expected {X.shape[1:]}, one sign for each column of X")
    if not np.isfinite(X).all():
        row, column = np.argwhere(~np.isfinite(X))[0]
        raise ValueError(f"X[{row}, {column}]: {X[row, column]} is not finite")
    for name, values in (("y", y), ("signs", signs)):
        if bad := np.flatnonzero(np.abs(values) != 1).tolist():
            raise ValueError(f"{name}[{bad[0]}]: {values[bad[0]]} is neither +1 nor -1")
    if np.all(y == y[0]):
        raise ValueError(f"y: all labels are {y[0]:+.0f}; both classes are needed")
    return X, y, signs


def balanced_start(mean: NDArray, signs: NDArray) -> NDArray:
    """|w| (N,) with |w| = 0.9 whose excitation and inhibition cancel on the mean activity (N,)."""
    w = np.ones(len(signs))
    for sign in (1, -1):
        drive = np.abs(mean[signs == sign]).sum()
        w[signs == sign] = 1 / drive if drive > 0 else 1.0
    return 0.9 * w / np.linalg.norm(w)


def feasibility(X: ArrayLike, y: ArrayLike, signs: ArrayLike, balanced: bool = False) -> Feasibility:
    """Is there a solution of any norm (balanced: one that survives threshold 0, so that its norm can grow freely)?

    X (P, N) activities, y (P,) labels +-1, signs (N,) +-1. There is one iff the value of the game

        max_w min_mu y_mu (w.x_mu - theta),   g w >= 0, sum_i a_i |w_i| = n, theta >= 0   (balanced: theta = 0)

    is positive, with n the number of afferents that are ever active and a_i, a power of two, the order of their largest
    activity. A value within rounding of zero counts as zero. Raises ValueError for malformed input.
    """
    return play(Problem.of(X, y, signs), balanced)[0]


def play(problem: Problem, balanced: bool = False) -> tuple[Feasibility, NDArray, float]:
    """The verdict, and the best weights (n,) > 0 with |w| = 0.9 and their threshold > 0, in the problem's unit."""
    # The scale of a column leaves the sign of the value alone; the weights of faint afferents become of order one.
    largest = np.abs(problem.rows).max(0)
    scale = 2.0 ** -np.floor(np.log2(np.where(largest > 0, largest, 1.0)))
    game = problem.rows * scale
    count, size = game.shape
    labels = None if balanced else problem.labels[None]
    program = Program(DensePatterns(game), np.zeros((1, count)), np.array([[float(size)]]), labels, "simplex")
    rounding = 2 * ROUNDING * size
    best = solve(program, problem.start[None] / scale, side_only=True, floor=rounding)
    if best.kappa[0] <= rounding < best.bound[0]:
        best = _vertex(program, game, best)
    certificate = Certificate.of(best, program, game, floor=rounding)
    status = "feasible" if certificate.primal > 0 else "infeasible" if certificate.dual <= 0 else "undecided"
    # Strictly inside the cone, at three quarters of the value or more: no entry of the game exceeds 2.
    inside = max(certificate.primal, rounding) / 8
    w = (best.w[0] + inside / size) * scale
    length = np.linalg.norm(w) / 0.9
    return Feasibility(status, certificate), w / length, (best.theta.sum() + inside) / length


def _vertex(program: Program, game: NDArray, best: Solution) -> Solution:
    """The game's linear program, min_l max_i (A'l)_i: its vertices are exact to rounding even if the value is zero,
    where the interior point, whose gap is relative, stalls. Better weights or a better bound replace those of `best`.
    """
    count, size = game.shape
    columns = game.T if program.labels is None else np.vstack([game.T, -program.labels])
    value = np.r_[np.ones(size), np.zeros(len(columns) - size)]
    solution = linprog(
        np.r_[np.zeros(count), 1.0],
        A_ub=np.column_stack([columns, -value]),
        b_ub=np.zeros(len(columns)),
        A_eq=np.r_[np.ones(count), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * count + [(None, None)],
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if solution.status != 0:
        return best
    multipliers, bound = upper_bound(program, np.maximum(solution.x[None, :count], 0))
    prices = np.maximum(-solution.ineqlin.marginals, 0)
    prices *= size / prices[:size].sum()
    w, theta = prices[None, :size], prices[None, size:]
    kappa = program.fields(w, theta).min(1)
    if bound[0] < best.bound[0]:
        best = replace(best, multipliers=multipliers, bound=bound)
    return replace(best, w=w, theta=theta, kappa=kappa) if kappa[0] > best.kappa[0] else best
