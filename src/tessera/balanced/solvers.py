"""Weights with the largest margins under Dale's law, each with a certificate of optimality.

A neuron says plus iff w.x > 1; g_i w_i >= 0. Its margins over patterns x_mu with labels y_mu are

    kappa_out = min_mu y_mu (w.x_mu - 1)          kappa_in = kappa_out / |w|

Let V(c) be the largest kappa_out at |w| <= c, a concave function. Then max kappa_out = V(norm), and max kappa_in =
max_c V(c)/c. Both are solved with the cone inside the interior point; in the second w and the threshold are scaled to
|w| = 1, so that kappa_in is the objective itself. With v = sum_mu l_mu y_mu x_mu, multipliers l >= 0, sum l = 1, prove

    kappa_out <= norm |[g v]_+| - l.y            for all |w| <= norm
    kappa_in  <= |[g v]_+|                       if l.y >= 0
    no solution of any norm                      if g v < 0 and l.y >= 0       (Farkas)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tessera.balanced.interior_point import Program, Solution, silence, solve
from tessera.balanced.patterns import DensePatterns, NetworkPatterns

GAP_LIMIT = 1e-6  # an answer with a larger relative gap is called inaccurate
_SMALLEST = 1e-9  # margin, in standard deviations of the activity, below which separability is decided by the game


@dataclass(frozen=True)
class Certificate:
    """primal <= optimum <= dual, as proved by the weights and by the multipliers (P,); gap is relative."""

    primal: float
    dual: float
    gap: float
    multipliers: NDArray
    iterations: int


@dataclass(frozen=True)
class Result:
    """Weights (N,) of a neuron with threshold 1, the margin asked for, its certificate, and a status.

    optimal                      the margin is the largest, to the certificate's gap
    inaccurate                   feasible weights, but the gap is above 1e-6
    inseparable                  no weights of any norm solve the task; the multipliers prove it; w is NaN
    inseparable_within_norm      the best weights within the norm, whose margin is not positive
    unbounded_norm               kappa_in is a supremum for |w| -> infinity; w is the direction, |w| = 1, threshold 0
    norm_bound                   max kappa_in within the norm, reached at the norm: the max-kappa_out solution
    undecided                    separable or not lies within rounding; w is NaN
    """

    w: NDArray
    kappa: float
    certificate: Certificate
    status: str

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.w))


@dataclass(frozen=True)
class Feasibility:
    """status: feasible, infeasible or undecided; value of the game lies within [primal, dual] of the certificate."""

    status: str
    certificate: Certificate


def _checked(X: ArrayLike, y: ArrayLike, signs: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Arrays (P, N), (P,), (N,), float64; ValueError that names the argument and what would be valid."""
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


def _positive(name: str, value: float) -> float:
    if not 0 < value < np.inf:
        raise ValueError(f"{name}: {value} is not a positive number")
    return float(value)


def _gated(X: NDArray, y: NDArray, signs: NDArray) -> NDArray:
    """Rows y_mu g_i x_mu,i (P, N)."""
    gated = X * signs
    gated *= y[:, None]
    return gated


def _balanced_start(mean: NDArray, signs: NDArray) -> NDArray:
    """|w| (N,) with |w| = 0.9 whose excitation and inhibition cancel on the mean activity (N,)."""
    w = np.ones(len(signs))
    for sign in (1, -1):
        drive = np.abs(mean[signs == sign]).sum()
        w[signs == sign] = 1 / drive if drive > 0 else 1.0
    return 0.9 * w / np.linalg.norm(w)


def _start(start: Result | None, mean: NDArray, signs: NDArray) -> dict[str, Any]:
    """Arguments of interior_point.solve at |w| = 1: from an earlier result if it has weights, else a balanced start."""
    if start is None or not np.isfinite(start.w).all() or start.norm == 0:
        return {"w": _balanced_start(mean, signs)[None]}
    return {
        "w": np.abs(start.w)[None] / start.norm,
        "theta": 1 / start.norm,
        "multipliers": start.certificate.multipliers[None],
    }


def _certificate(solution: Solution, scale: float = 1.0) -> Certificate:
    return Certificate(
        float(solution.kappa[0]) * scale,
        float(solution.bound[0]) * scale,
        float(solution.gap[0]),
        solution.multipliers[0],
        solution.iterations,
    )


def feasibility(X: ArrayLike, y: ArrayLike, signs: ArrayLike, balanced: bool = False) -> Feasibility:
    """Is there a solution of any norm (balanced: one that survives threshold 0, so that its norm can grow freely)?

    X (P, N) activities, y (P,) labels +-1, signs (N,) +-1. The value of the game over sum g_i w_i = N, theta >= 0
    (balanced: theta = 0) is positive iff there is. Raises ValueError for malformed input.
    """
    X, y, signs = _checked(X, y, signs)
    return _feasibility(_gated(X, y, signs), X.mean(0), y, signs, balanced)


def _feasibility(gated: NDArray, mean: NDArray, y: NDArray, signs: NDArray, balanced: bool = False) -> Feasibility:
    program = Program(
        DensePatterns(gated),
        np.zeros((1, len(y))),
        np.array([[float(len(signs))]]),
        None if balanced else y[None],
        "simplex",
    )
    solution = solve(program, _balanced_start(mean, signs)[None], sign_only=True)
    certificate = _certificate(solution)
    status = "feasible" if certificate.primal > 0 else "infeasible" if certificate.dual < 0 else "undecided"
    return Feasibility(status, certificate)


def max_kappa_out(
    X: ArrayLike, y: ArrayLike, signs: ArrayLike, norm: float, start: Result | None = None, tolerance: float = 1e-8
) -> Result:
    """The weights with the largest output margin among those with |w| <= norm.

    X (P, N) activities, y (P,) labels +-1, signs (N,) +-1, norm > 0 in threshold units per unit of activity; start: an
    earlier result on the same or a neighbouring problem. Raises ValueError for malformed input; all else is a status.
    """
    X, y, signs = _checked(X, y, signs)
    norm = _positive("norm", norm)
    begin = _start(start, X.mean(0), signs)
    program = Program(DensePatterns(_gated(X, y, signs)), y[None], np.array([[norm]]))
    solution = solve(program, tolerance=tolerance, **(begin | {"w": norm * begin["w"]}))
    solution = silence(program, solution, tolerance)
    certificate = _certificate(solution)
    status = "optimal" if certificate.gap <= GAP_LIMIT else "inaccurate"
    if certificate.primal <= 0:
        status = "inseparable_within_norm"
    return Result(signs * solution.w[0], certificate.primal, certificate, status)


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
    X, y, signs = _checked(X, y, signs)
    limit = np.inf if norm is None else _positive("norm", norm)
    gated = _gated(X, y, signs)
    program = Program(DensePatterns(gated), np.zeros((1, len(y))), np.ones((1, 1)), y[None])
    begin = _start(start, X.mean(0), signs)
    solution = solve(program, tolerance=tolerance, floor=_SMALLEST * float(X.std()), **begin)
    certificate = _certificate(solution)
    if certificate.primal <= _SMALLEST * X.std():
        found = _feasibility(gated, X.mean(0), y, signs)
        status = "inseparable" if found.status == "infeasible" else "undecided"
        return Result(np.full(len(signs), np.nan), 0.0, found.certificate, status)
    solution = silence(program, solution, tolerance)
    certificate = _certificate(solution)
    w, theta = signs * solution.w[0], float(solution.theta[0, 0])
    length = float(np.linalg.norm(w))
    if length > limit * theta:
        # V is concave, so below its tangent from the origin V(c)/c still grows: the bound on the norm is active.
        out = max_kappa_out(X, y, signs, limit, tolerance=tolerance)
        c = out.certificate
        scaled = Certificate(c.primal / limit, c.dual / limit, c.gap, c.multipliers, c.iterations)
        return Result(out.w, out.kappa / limit, scaled, "norm_bound" if out.status == "optimal" else out.status)
    status = "optimal" if certificate.gap <= GAP_LIMIT else "inaccurate"
    if theta < 1e-3 * length * X.std():
        # A small threshold may be zero: theta is known to the root of the gap only, so ask for the margin without it.
        bare = solve(Program(program.patterns, program.offset, program.size), _balanced_start(X.mean(0), signs)[None])
        if bare.kappa[0] >= (1 - GAP_LIMIT) * certificate.dual:
            w = signs * bare.w[0]
            return Result(w / np.linalg.norm(w), float(bare.kappa[0]), _certificate(bare), "unbounded_norm")
    return Result(w / theta, certificate.primal / length, certificate, status)


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
    ArithmeticError where a neuron cannot be trained, since a network with one such neuron is not the one asked for.
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
        w = np.tile(_balanced_start(x.mean(0), signs), (len(neurons), 1)) * bound
        solution = silence(program, solve(program, w, tolerance=tolerance), tolerance)
        if bad := np.flatnonzero((solution.kappa <= 0) | (solution.gap > GAP_LIMIT)).tolist():
            margin, slack = solution.kappa[bad[0]], solution.gap[bad[0]]
            raise ArithmeticError(f"neuron {neurons[bad[0]]}: margin {margin:.3g}, gap {slack:.1e} at {count} memories")
        rows = signs * (solution.w / solution.theta if free else solution.w)
        rows[np.arange(len(neurons)), neurons] = 0
        weights[neurons], kappa[neurons], gap[neurons] = rows, solution.kappa, solution.gap
    return NetworkResult(weights, kappa, gap)


def silent(result: Result, X: ArrayLike, y: ArrayLike, signs: ArrayLike) -> NDArray:
    """Which synapses (N,) the optimum has at zero: those whose reduced cost exceeds what is left of g_i w_i.

    At a certified gap some of them may still hold a trace, 1e-6 of the norm or less, where an exact zero would cost
    margin. Raises ValueError where the result has no weights.
    """
    X, y, signs = _checked(X, y, signs)
    if not np.isfinite(result.w).all():
        raise ValueError(f"result: {result.status}, without weights; valid is a result that has them")
    push = signs * ((result.certificate.multipliers * y) @ X)
    # Within a ball the optimal weights are parallel to the positive part of the push.
    return -push * result.norm > signs * result.w * np.linalg.norm(np.maximum(push, 0))


def margins(w: ArrayLike, X: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """(kappa_in, kappa_out) of weights (N,) with threshold 1 on patterns X (P, N) with labels y (P,)."""
    w = np.asarray(w, float)
    kappa_out = float((np.asarray(y) * (np.asarray(X) @ w - 1)).min())
    return kappa_out / float(np.linalg.norm(w)), kappa_out


def imbalance(w: ArrayLike, X: ArrayLike) -> float:
    """IB = <w.x>/<|w|.x>: 0 in balance, 1 for pure excitation; w (N,) or networks' rows (n, N), X (P, N)."""
    w, mean = np.asarray(w, float), np.asarray(X, float).mean(0)
    return float(np.sum(w @ mean) / np.sum(np.abs(w) @ mean))
