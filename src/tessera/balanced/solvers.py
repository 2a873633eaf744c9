"""Weights with the largest margins under Dale's law, each with a certificate of optimality.

A neuron says plus iff w.x > 1; g_i w_i >= 0. Its margins over patterns x_mu with labels y_mu are

    kappa_out = min_mu y_mu (w.x_mu - 1)          kappa_in = kappa_out / |w|

Let V(c) be the largest kappa_out at |w| <= c, a concave function. Then max kappa_out = V(norm), and max kappa_in =
max_c V(c)/c. Both are solved with the cone inside the interior point; in the second w and the threshold are scaled to
|w| = 1, so that kappa_in is the objective itself. With v = sum_mu l_mu y_mu x_mu, multipliers l >= 0, sum l = 1, prove

    kappa_out <= norm |[g v]_+| - l.y            for all |w| <= norm
    kappa_in  <= |[g v]_+|                       if l.y >= 0
    no solution of any norm                      if g v <= 0 and l.y >= 0      (Farkas; see separability.py)
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tessera.balanced.interior_point import Program, Solution, silence, solve
from tessera.balanced.patterns import DensePatterns, NetworkPatterns
from tessera.balanced.separability import Certificate, Problem, balanced_start, checked, play

GAP_LIMIT = 1e-6  # an answer with a larger relative gap is called inaccurate
_SMALLEST = 1e-9  # margin, in standard deviations of the activity, below which separability is decided by the game


@dataclass(frozen=True)
class Result:
    """Weights (N,) of a neuron with threshold 1, the maximised margin, its certificate, and a status.

    optimal                      the margin is the largest, to the certificate's gap
    inaccurate                   feasible weights, but the gap is above 1e-6
    inseparable                  no weights of any norm solve the task; the multipliers prove it; w is NaN
    inseparable_within_norm      the best weights within the norm, whose margin is not positive
    unbounded_norm               kappa_in is a supremum for |w| -> infinity; w is the direction, |w| = 1, threshold 0
    norm_bound                   max kappa_in within the norm, reached at the norm: the max-kappa_out solution
    undecided                    solvable (within the norm) or not lies within rounding; w is NaN for max kappa_in

    A margin within rounding of zero counts as zero. Raises ArithmeticError if status and certificate disagree.
    """

    w: NDArray
    kappa: float
    certificate: Certificate
    status: str

    def __post_init__(self) -> None:
        c = self.certificate
        proved = {
            "inaccurate": c.primal > 0,
            "inseparable": c.dual <= 0,
            "inseparable_within_norm": c.dual <= 0,
            "undecided": c.primal <= 0 < c.dual,
        }
        if not proved.get(self.status, c.primal > 0 and c.gap <= GAP_LIMIT):
            raise ArithmeticError(f"result: {self.status} contradicts {c.primal} <= optimum <= {c.dual}")

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.w))


def _positive(name: str, value: float) -> float:
    if not 0 < value < np.inf:
        raise ValueError(f"{name}: {value} is not a positive number")
    return float(value)


def _status(certificate: Certificate) -> str:
    """Of the best weights within a norm."""
    if certificate.primal > 0:
        return "optimal" if certificate.gap <= GAP_LIMIT else "inaccurate"
    return "inseparable_within_norm" if certificate.dual <= 0 else "undecided"


def _solve(program: Program, problem: Problem, start: Result | None, **options: Any) -> Solution:
    """From an earlier result, if it has weights; from the balanced start otherwise, or if that does not settle it."""
    size = program.size[0, 0]
    if start is not None:
        w, multipliers = np.asarray(start.w, float), np.asarray(start.certificate.multipliers, float)
        if w.shape != problem.active.shape or multipliers.shape != problem.labels.shape:
            raise ValueError(
                f"start: {len(w)} weights and {len(multipliers)} multipliers; expected a result on a task of "
                f"{len(problem.active)} afferents and {len(problem.labels)} patterns"
            )
        w = np.abs(w[problem.active]) * problem.unit
        norm = float(np.linalg.norm(w))
        if 0 < norm < np.inf:
            scale = 1.0 if program.labels is None else norm  # the threshold is 1, or a variable at |w| = 1
            solution = solve(program, w[None] / scale, 1 / scale, multipliers[None], **options)
            if solution.gap[0] <= options["tolerance"] or solution.bound[0] <= options.get("floor", -np.inf):
                return solution
    return solve(program, size * problem.start[None], **options)


def max_kappa_out(
    X: ArrayLike, y: ArrayLike, signs: ArrayLike, norm: float, start: Result | None = None, tolerance: float = 1e-8
) -> Result:
    """The weights with the largest output margin among those with |w| <= norm.

    X (P, N) activities, y (P,) labels +-1, signs (N,) +-1, norm > 0 in threshold units per unit of activity; start: an
    earlier result on the same or a neighbouring problem of the same shape; tolerance > 0: relative gap to stop at.
    Raises ValueError for malformed input; all else is a status.
    """
    problem = Problem.of(X, y, signs)
    tolerance = _positive("tolerance", tolerance)
    size = _positive("norm times the spread of X", _positive("norm", norm) * problem.unit)
    program = Program(DensePatterns(problem.rows), problem.labels[None], np.array([[size]]))
    solution = silence(program, _solve(program, problem, start, tolerance=tolerance), tolerance)
    certificate = Certificate.of(solution, program, problem.rows)
    if certificate.primal <= 0 < certificate.dual:
        verdict, _, _ = play(problem)
        if verdict.status == "infeasible":  # for any norm
            proof = verdict.certificate.multipliers
            certificate = replace(certificate, dual=0.0, gap=float(certificate.primal < 0), multipliers=proof)
    return Result(problem.expand(solution.w[0]), certificate.primal, certificate, _status(certificate))


def max_kappa_in(
    X: ArrayLike,
    y: ArrayLike,
    signs: ArrayLike,
    norm: float | None = None,
    start: Result | None = None,
    tolerance: float = 1e-8,
) -> Result:
    """The weights with the largest input margin, optionally among those with |w| <= norm.

    Arguments as in max_kappa_out; norm None means free. Raises ValueError for malformed input; all else is a status.
    """
    problem = Problem.of(X, y, signs)
    tolerance = _positive("tolerance", tolerance)
    limit = np.inf if norm is None else _positive("norm", norm)
    program = Program(
        DensePatterns(problem.rows), np.zeros((1, len(problem.labels))), np.ones((1, 1)), problem.labels[None]
    )
    solution = _solve(program, problem, start, tolerance=tolerance, floor=_SMALLEST * problem.spread)
    solution = silence(program, solution, tolerance)
    certificate = Certificate.of(solution, program, problem.rows, problem.unit)
    if certificate.primal <= 0 or solution.bound[0] <= _SMALLEST * problem.spread:
        verdict, w, theta = play(problem)
        if verdict.status == "feasible":
            solution = silence(program, solve(program, w[None], theta, tolerance=tolerance), tolerance)
            certificate = Certificate.of(solution, program, problem.rows, problem.unit)
        else:
            certificate = verdict.certificate
        if certificate.primal <= 0:
            status = "inseparable" if certificate.dual <= 0 else "undecided"
            return Result(np.full(len(problem.active), np.nan), 0.0, certificate, status)
    w, theta = solution.w[0], float(solution.theta[0, 0])
    length = float(np.linalg.norm(w))
    if length > limit * problem.unit * theta:
        # V is concave, so below its tangent from the origin V(c)/c still grows: the bound on the norm is active.
        out = max_kappa_out(X, y, signs, limit, tolerance=tolerance)
        c = out.certificate
        scaled = replace(c, primal=c.primal / limit, dual=c.dual / limit)
        return Result(out.w, out.kappa / limit, scaled, "norm_bound" if out.status == "optimal" else out.status)
    if theta < 1e-3 * length * problem.spread:
        # A small threshold may be zero: theta is known to the root of the gap only, so ask for the margin without it.
        bare = Program(program.patterns, program.offset, program.size)
        direction = silence(bare, solve(bare, problem.start[None]), tolerance)
        if direction.kappa[0] >= (1 - GAP_LIMIT) * solution.bound[0]:
            w = problem.expand(direction.w[0])
            certificate = Certificate.of(replace(solution, kappa=direction.kappa), program, problem.rows, problem.unit)
            return Result(w / np.linalg.norm(w), certificate.primal, certificate, "unbounded_norm")
    return Result(problem.expand(w / theta), certificate.primal / length, certificate, _status(certificate))


@dataclass(frozen=True)
class NetworkResult:
    """Weights J (N, N), J[i, j] from j to i, zero diagonal, threshold 1; margin and relative gap of each (N,)."""

    weights: NDArray
    kappa: NDArray
    gap: NDArray


def _network(x: ArrayLike, signs: ArrayLike) -> tuple[NDArray, NDArray]:
    x, signs = np.asarray(x, float), np.asarray(signs, float)
    if x.ndim != 2 or signs.shape != x.shape[1:] or not np.isin(x, (0, 1)).all() or not np.isin(signs, (-1, 1)).all():
        raise ValueError(
            f"x: expected memories of 0 and 1, (P, N), and signs of +-1, (N,); got {x.shape}, {signs.shape}"
        )
    if constant := np.flatnonzero(x.min(0) == x.max(0)).tolist():
        raise ValueError(f"x: neuron {constant[0]} is {x[0, constant[0]]:.0f} in every memory; both classes are needed")
    return x, signs


def train_network(
    x: ArrayLike, signs: ArrayLike, norm: float | None = None, tolerance: float = 1e-7, batch: int = 256
) -> NetworkResult:
    """Train every neuron of an attractor network on the memories x (P, N) of 0 and 1: neuron i learns 2 x_i - 1.

    norm None: largest kappa_in; else largest kappa_out with |J_i| <= norm. Raises ValueError for malformed memories and
    ArithmeticError if any neuron cannot be trained.
    """
    x, signs = _network(x, signs)
    count, size = x.shape
    weights, kappa, gap = np.empty((size, size)), np.empty(size), np.empty(size)
    for first in range(0, size, batch):
        neurons = np.arange(first, min(first + batch, size))
        patterns = NetworkPatterns(x, signs, neurons)
        free = norm is None
        bound = np.full((len(neurons), 1), 1.0 if norm is None else _positive("norm", norm))
        offset = np.zeros_like(patterns.labels) if free else patterns.labels
        program = Program(patterns, offset, bound, patterns.labels if free else None)
        w = np.tile(balanced_start(x.mean(0), signs), (len(neurons), 1)) * bound
        solution = silence(program, solve(program, w, tolerance=tolerance), tolerance)
        if bad := np.flatnonzero(~((solution.kappa > 0) & (solution.gap <= GAP_LIMIT))).tolist():
            margin, slack = solution.kappa[bad[0]], solution.gap[bad[0]]
            raise ArithmeticError(f"neuron {neurons[bad[0]]}: margin {margin:.3g}, gap {slack:.1e} at {count} memories")
        rows = signs * (solution.w / solution.theta if free else solution.w)
        rows[np.arange(len(neurons)), neurons] = 0
        weights[neurons], kappa[neurons], gap[neurons] = rows, solution.kappa, solution.gap
    return NetworkResult(weights, kappa, gap)


def silent(result: Result, X: ArrayLike, y: ArrayLike, signs: ArrayLike) -> NDArray:
    """Which synapses (N,) the optimum has at zero: those whose reduced cost exceeds what is left of g_i w_i.

    At a certified gap some of them may still hold a trace, 1e-6 of the norm or less, where an exact zero would cost
    margin. Raises ValueError if the result has no weights.
    """
    X, y, signs = checked(X, y, signs)
    if not np.isfinite(result.w).all():
        raise ValueError(f"result: {result.status}, without weights; expected a result that has them")
    push = signs * ((result.certificate.multipliers * y) @ X)
    # Within a ball the optimal weights are parallel to the positive part of the push.
    return (result.w == 0) | (-push * result.norm > signs * result.w * np.linalg.norm(np.maximum(push, 0)))


def margins(w: ArrayLike, X: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """(kappa_in, kappa_out) of weights (N,) with threshold 1 on patterns X (P, N) with labels y (P,)."""
    w = np.asarray(w, float)
    kappa_out = float((np.asarray(y) * (np.asarray(X) @ w - 1)).min())
    return kappa_out / float(np.linalg.norm(w)), kappa_out


def imbalance(w: ArrayLike, X: ArrayLike) -> float:
    """IB = <w.x>/<|w|.x>: 0 in balance, 1 for pure excitation; w (N,) or networks' rows (n, N), X (P, N)."""
    w, mean = np.asarray(w, float), np.asarray(X, float).mean(0)
    return float(np.sum(w @ mean) / np.sum(np.abs(w) @ mean))
