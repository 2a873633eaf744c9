"""Primal-dual interior point for largest margins, with the bound on the norm inside.

    maximise kappa   subject to   s = A w - y theta - b - kappa >= 0,   w >= 0,   theta >= 0, and a bound on w:
        ball      t = (size^2 - |w|^2)/2 >= 0            margins
        simplex   sum_j w_j = size                       feasibility: the value of a matrix game

The threshold theta is a variable only if labels y are given. Multipliers: l of s, nu of w, tau of theta, q of the
size; sum l = 1. Steps are Mehrotra's: (w, l) by a Cholesky factor of the Schur complement on the smaller side, bordered
by the scalars q, kappa and theta. Every iterate yields a feasible point and, from l alone, a bound on all of them:

    ball      kappa <= size |[A'l]_+| - l.b          simplex   kappa <= size max_j (A'l)_j - l.b

if l.y >= 0 when theta is a variable. The best of both are kept, so the gap that is returned is a certificate.
A batch holds B independent problems of one size. Every array has two axes, B and one of N, P or 1; that of the
threshold has k columns, 1 or, if it is not a variable, 0.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError

from tessera.balanced.patterns import Solver

_TINY = np.finfo(float).tiny
_WARM = 1e-3  # relative gap at which a warm start begins


class Patterns(Protocol):
    """A batch of constraint matrices A (see patterns.py)."""

    count: int
    size: int

    def forward(self, w: NDArray) -> NDArray: ...
    def backward(self, multipliers: NDArray) -> NDArray: ...
    def factor(self, d: NDArray, e: NDArray) -> Solver: ...


@dataclass(frozen=True)
class Program:
    """offset b (B, P); size (B, 1), > 0; labels y (B, P), +-1 with both signs, if the threshold is a variable."""

    patterns: Patterns
    offset: NDArray
    size: NDArray
    labels: NDArray | None = None
    shape: Literal["ball", "simplex"] = "ball"

    @property
    def threshold_rows(self) -> NDArray:
        """y as (B, P, k)."""
        return np.zeros((*self.offset.shape, 0)) if self.labels is None else self.labels[:, :, None]

    def fields(self, w: NDArray, theta: NDArray) -> NDArray:
        """A w - y theta (B, P)."""
        fields = self.patterns.forward(w)
        return fields if self.labels is None else fields - self.labels * theta

    def room(self, w: NDArray) -> NDArray:
        """What the size bound leaves (B, 1)."""
        if self.shape == "ball":
            return 0.5 * (self.size**2 - (w**2).sum(1, keepdims=True))
        return self.size - w.sum(1, keepdims=True)


@dataclass
class Solution:
    """Best feasible w (B, N), theta (B, k), their value kappa (B,); best multipliers (B, P), their bound (B,)."""

    w: NDArray
    theta: NDArray
    kappa: NDArray
    multipliers: NDArray
    bound: NDArray
    iterations: int = 0

    @property
    def gap(self) -> NDArray:
        """Relative gap (B,)."""
        return (self.bound - self.kappa) / np.maximum(np.maximum(np.abs(self.kappa), np.abs(self.bound)), _TINY)


def upper_bound(program: Program, multipliers: NDArray) -> tuple[NDArray, NDArray]:
    """(l, bound): any l >= 0, made admissible (sum 1; l.y >= 0 if theta is a variable), and its bound."""
    lam = multipliers
    if program.labels is not None:
        plus = program.labels > 0
        share = (lam * ~plus).sum(1) / np.maximum((lam * plus).sum(1), _TINY)
        lam = np.where(plus, lam * np.maximum(1.0, share)[:, None], lam)
    lam = lam / lam.sum(1, keepdims=True)
    push = program.patterns.backward(lam)
    reach = push.max(1) if program.shape == "simplex" else np.linalg.norm(np.maximum(push, 0), axis=1)
    return lam, program.size[:, 0] * reach - (lam * program.offset).sum(1)


def _keep_best(program: Program, best: Solution, x: "State") -> None:
    """Turn the iterate into a feasible point, scaled to the size, and a bound; keep the best."""
    w, fields = x.w, program.fields(x.w, x.theta)
    if program.shape == "simplex":
        scale = program.size[:, 0] / w.sum(1)
    else:
        outer = program.size[:, 0] / np.maximum(np.linalg.norm(w, axis=1), _TINY)
        inner = np.minimum(outer, 1.0)
        values = [(fields * c[:, None] - program.offset).min(1) for c in (outer, inner)]
        scale = np.where(values[0] > values[1], outer, inner)
    value = (fields * scale[:, None] - program.offset).min(1)
    admissible, bound = upper_bound(program, x.lam)
    higher, lower = value > best.kappa, bound < best.bound
    best.w = np.where(higher[:, None], w * scale[:, None], best.w)
    best.theta = np.where(higher[:, None], x.theta * scale[:, None], best.theta)
    best.kappa = np.where(higher, value, best.kappa)
    best.multipliers = np.where(lower[:, None], admissible, best.multipliers)
    best.bound = np.where(lower, bound, best.bound)


def silence(program: Program, solution: Solution, tolerance: float) -> Solution:
    """Set the weights to zero that the optimum has at zero: next to nothing is left of them, and their cost exceeds it.

    Within a ball the optimal w is parallel to [A'l]_+. A problem whose gap would leave tolerance keeps its weights.
    """
    push = program.patterns.backward(solution.multipliers)
    norm = np.linalg.norm(solution.w, axis=1, keepdims=True)
    dear = -push * norm > solution.w * np.linalg.norm(np.maximum(push, 0), axis=1, keepdims=True)
    w = np.where(dear & (solution.w < 1e-9 * norm), 0.0, solution.w)
    trial = replace(solution, w=w, kappa=(program.fields(w, solution.theta) - program.offset).min(1))
    kept = trial.gap <= np.maximum(solution.gap, tolerance)
    return replace(
        solution, w=np.where(kept[:, None], w, solution.w), kappa=np.where(kept, trial.kappa, solution.kappa)
    )


class State(NamedTuple):
    """An iterate, or a step: w, nu (B, N); s, lam (B, P); room t, q (B, 1); theta, tau (B, k); kappa (B, 1).

    In a simplex t is 0 and q is free.
    """

    w: NDArray
    nu: NDArray
    s: NDArray
    lam: NDArray
    t: NDArray
    q: NDArray
    theta: NDArray
    tau: NDArray
    kappa: NDArray

    def pairs(self, ball: bool) -> list[tuple[NDArray, NDArray]]:
        """Complementary pairs: at the optimum one of each is zero."""
        complementary = [(self.s, self.lam), (self.w, self.nu), (self.theta, self.tau)]
        return [*complementary, (self.t, self.q)] if ball else complementary


def _cold(program: Program, w: NDArray, theta: NDArray) -> State:
    """Start with all products l s, nu w, q t, tau theta equal to mu and sum l = 1."""
    ball = program.shape == "ball"
    w = w if ball else w * (program.size / w.sum(1, keepdims=True))
    s = program.fields(w, theta) - program.offset
    lowest = s.min(1)
    kappa = lowest - 0.3 * s.std(1) - 1e-9 * np.abs(s).max(1)
    kappa = np.where(kappa < lowest, kappa, lowest - 1.0)[:, None]  # all fields may be zero
    s = s - kappa
    mu = 1 / (1 / s).sum(1, keepdims=True)
    t = program.room(w)
    return State(w, mu / w, s, mu / s, t if ball else 0 * mu, mu / t if ball else 0 * mu, theta, mu / theta, kappa)


def _centred(x: NDArray, z: NDArray, mu: NDArray) -> tuple[NDArray, NDArray]:
    """Move complementary x, z >= 0 to the hyperbola x z = mu.

    With d = x - c z, (d + sqrt(d^2 + 4 c mu))/2 and mu over it do so; c turns the unit of z into that of x. A floor
    under both norms keeps c finite if all x or all z are zero.
    """
    of_x, of_z = (np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-8 * np.sqrt(mu)) for v in (x, z))
    c = of_x / of_z
    d = x - c * z
    large = np.maximum(0.5 * (np.sqrt(d**2 + 4 * c * mu) + np.abs(d)), _TINY)
    x = np.where(d > 0, large, c * mu / large)  # the smaller of the two as mu over the larger: no cancellation
    return x, mu / x


def _warm(program: Program, w: NDArray, theta: NDArray, lam: NDArray) -> State:
    """Start near an earlier optimum of a ball, stretched to the norm if that gains margin, at a gap of _WARM."""
    size = 0.999 * program.size
    outer = size / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), _TINY)
    lengths = outer, np.minimum(outer, 1.0)
    gains = [(program.fields(w * c, theta) - program.offset).min(1, keepdims=True) for c in lengths]
    w = w * np.where(gains[0] > gains[1], *lengths)
    push = program.patterns.backward(lam)
    q = np.linalg.norm(np.maximum(push, 0), axis=1, keepdims=True) / program.size
    fields = program.fields(w, theta) - program.offset
    kappa = fields.min(1, keepdims=True)
    # The bound on the norm may be slack, q = 0, and all fields may be zero: each scale has a floor.
    scale = np.maximum(q * program.size**2, np.abs(kappa))
    scale = np.maximum(scale, 1e-6 * np.abs(fields).max(1, keepdims=True) + 1e-12 * program.size)
    mu = _WARM * scale / (w.shape[1] + lam.shape[1])
    q = np.maximum(q, mu / program.room(w))
    w, nu = _centred(w, np.maximum(q * w - push, 0), mu)
    w = w * np.minimum(1.0, size / np.linalg.norm(w, axis=1, keepdims=True))
    s, lam = _centred(fields - kappa, lam, mu)
    return State(w, nu, s, lam, mu / q, q, theta, mu / theta, kappa)


def _reach(x: State, step: State, ball: bool) -> NDArray:
    """Largest multiple of the step (B, 1) that keeps every variable of a pair >= 0."""
    inverse = np.full_like(x.kappa, _TINY)
    for pair, change in zip(x.pairs(ball), step.pairs(ball), strict=True):
        for value, dv in zip(pair, change, strict=True):
            inverse = np.maximum(inverse, (-dv / value).max(1, keepdims=True, initial=0))
    return 1 / inverse


def _direction(program: Program, x: State) -> State:
    """Mehrotra's step, scaled to stay inside. Raises LinAlgError if rounding has spoilt the equations."""
    ball = program.shape == "ball"
    w, nu, s, lam, t, q, theta, tau, _ = x
    y = program.threshold_rows
    grad = w if ball else np.ones_like(w)
    r_w = program.patterns.backward(lam) + nu - q * grad
    r_s = program.fields(w, theta) - program.offset - x.kappa - s
    r_kappa = 1 - lam.sum(1, keepdims=True)
    r_theta = tau - (y * lam[:, :, None]).sum(1)
    r_t = program.room(w) - t
    core = program.patterns.factor((q if ball else 0.0) + nu / w, s / lam)
    # Columns: what the scalars (-q, kappa, theta) add to the equations of w and of l; then their response to it.
    edge_w = np.concatenate([grad[:, :, None], np.zeros((*w.shape, 1 + y.shape[2]))], 2)
    edge_s = np.concatenate([np.zeros((*s.shape, 1)), np.ones((*s.shape, 1)), y], 2)
    to_w, to_l = core(edge_w, edge_s)
    rows_w, rows_l = edge_w.transpose(0, 2, 1), edge_s.transpose(0, 2, 1)
    border = rows_l @ to_l - rows_w @ to_w
    if ball:
        border[:, 0, :1] -= t / q
    border[:, 2:, 2:] += (tau / theta)[:, :, None]

    def newton(targets: list[NDArray]) -> State:
        """Step for which each pair a, b has a db + b da = target."""
        c_s, c_w, c_theta, c_t = targets if ball else [*targets, np.zeros_like(t)]
        dw, dl = core((r_w + c_w / w)[:, :, None], (c_s / lam - r_s)[:, :, None])
        right = np.concatenate([c_t / q - r_t if ball else -r_t, r_kappa, r_theta + c_theta / theta], 1)[:, :, None]
        scalars = np.linalg.solve(border, right - (rows_l @ dl - rows_w @ dw))
        dw, dl, scalars = (dw + to_w @ scalars)[:, :, 0], (dl + to_l @ scalars)[:, :, 0], scalars[:, :, 0]
        dq, dkappa, dtheta = -scalars[:, :1], scalars[:, 1:2], scalars[:, 2:]
        dt = (c_t - t * dq) / q if ball else np.zeros_like(t)
        return State(
            dw, (c_w - nu * dw) / w, (c_s - s * dl) / lam, dl, dt, dq, dtheta, (c_theta - tau * dtheta) / theta, dkappa
        )

    pairs = x.pairs(ball)
    count = sum(a.shape[1] for a, _ in pairs)
    mu = sum((a * b).sum(1, keepdims=True) for a, b in pairs) / count
    affine = newton([-a * b for a, b in pairs])
    length = np.minimum(_reach(x, affine, ball), 1.0)
    moves = list(zip(pairs, affine.pairs(ball), strict=True))
    left = sum(((a + length * da) * (b + length * db)).sum(1, keepdims=True) for (a, b), (da, db) in moves) / count
    aim = (left / mu) ** 3 * mu
    full = newton([aim - a * b - da * db for (a, b), (da, db) in moves])
    length = np.minimum(0.995 * _reach(x, full, ball), 1.0)
    return State(*(length * change for change in full))


def solve(
    program: Program,
    w: NDArray,
    theta: float = 0.5,
    multipliers: NDArray | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 60,
    side_only: bool = False,
    floor: float = -np.inf,
) -> Solution:
    """Solve a batch from w > 0 (B, N) within the size and theta > 0; multipliers (B, P) of an optimum: a warm start.

    tolerance: relative gap at which a problem is done; so is one whose bound falls to the floor. side_only: stop as
    soon as it is certain on which side of the floor each optimum lies. If rounding ends the progress before that, the
    best points come back with the gap that they have.
    """
    batch = len(program.offset)
    start = np.full((batch, program.threshold_rows.shape[2]), theta)
    x = _cold(program, w, start) if multipliers is None else _warm(program, w, start, multipliers)
    best = Solution(x.w, x.theta, np.full(batch, -np.inf), x.lam, np.full(batch, np.inf))
    done = np.zeros(batch, bool)
    while True:
        _keep_best(program, best, x)
        done |= (best.gap <= tolerance) | (best.bound <= floor)
        if side_only:
            done |= best.kappa > floor
        if done.all() or best.iterations == max_iterations:
            return best
        best.iterations += 1
        with np.errstate(all="ignore"):  # problems of the batch that have failed or are done may give NaN
            try:
                step = _direction(program, x)
            except LinAlgError:
                return best
        done |= ~np.isfinite(np.concatenate([step.w, step.lam, step.kappa], 1)).all(1)
        x = State(*(value + np.where(done[:, None], 0.0, dv) for value, dv in zip(x, step, strict=True)))
