"""Other methods for weights that fire at the desired times, to compare the largest dynamical margin with.

first-error perceptron  run, stop at the first spike that is wrong or missing, step there
linear programme        the largest margin if |w|_inf bounds the weights, not |w|_2; and a random corner of the
weights that have a hundredth of that margin, a lower reference
least squares           ridge regression of a potential that is theta at the targets and 0 elsewhere
dead zone               the static margin: g = 1 except in the last tau_c before a target, in which V need only stay
below theta

All return weights at threshold 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.optimize import linprog

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import layout, solver
from tessera.tsvm.cuts import first_cuts
from tessera.tsvm.margin import worst
from tessera.tsvm.neuron import free_run
from tessera.tsvm.problem import Problem
from tessera.tsvm.robustness import trials
from tessera.tsvm.spaces import LinearSpace

#: The random corner has this share of the largest margin, so that it fires as desired without noise.
CORNER = 0.01
#: Choices of least squares: ridge in units of the mean square of a trace, weight of all targets together in
#: units of that of all other times, and threshold in units of the regressed one.
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
WEIGHTS = (0.1, 1.0, 10.0)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Fit:
    """Weights (N,) at threshold 1, whether the method ended by itself, and how many rounds or steps it took."""

    w: np.ndarray
    converged: bool
    steps: int


def dead_zone(
    spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, tau_c: float, hold: float, tol: float = 1e-6
) -> Fit:
    """The largest static margin with a dead zone of tau_c before every target.

    Raises ValueError if there is none.
    """
    pieces = layout.build(spikes, [targets], psp, tau_c, hold, dead_zone=True)
    solution = solver.solve(pieces, LinearSpace(pieces), tol)
    if solution.certificate.low <= 0:
        raise ValueError(f"the dead-zone problem is {solution.certificate.status}; expected one with a margin")
    return Fit(
        solution.coordinates / solution.theta,
        solution.certificate.status == "certified",
        len(solution.certificate.history),
    )


def largest_box_margin(
    spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, tau_c: float, hold: float, tol: float = 1e-4
) -> Fit:
    """The largest least row over |w_i| <= 1, by cutting planes in continuous time.

    Raises ValueError if no weights have a margin.
    """
    problem, w, _, converged, rounds = _box(spikes, targets, psp, tau_c, hold, tol)
    return Fit(w / problem.theta(w), converged, rounds)


def random_corner(
    spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, tau_c: float, hold: float,
    rng: np.random.Generator, tol: float = 1e-4, max_rounds: int = 200,
) -> Fit:  # fmt: skip
    """The weights with |w_i| <= 1 that go farthest along a random direction and keep CORNER of the largest margin."""
    problem, _, margin, _, before = _box(spikes, targets, psp, tau_c, hold, tol)
    direction = rng.normal(size=spikes.n_neurons)
    floor = CORNER * margin
    for step in range(max_rounds):
        rows = problem.hull.rows
        w = _exact(problem, _programme(-direction, -rows, np.full(len(rows), -floor), problem.equal))
        if not _add_violated(problem, w, floor, tol):
            return Fit(w / problem.theta(w), True, before + step + 1)
    return Fit(w / problem.theta(w), False, before + max_rounds)


def _box(spikes, targets, psp, tau_c, hold, tol, max_rounds=200):
    pieces = layout.build(spikes, [targets], psp, tau_c, hold)
    problem = Problem(pieces, LinearSpace(pieces))
    problem.add(*first_cuts(pieces))
    n = spikes.n_neurons
    equal = np.column_stack([problem.equal, np.zeros(len(problem.equal))])
    for step in range(max_rounds):
        rows = np.column_stack([-problem.hull.rows, np.ones(problem.hull.size)])
        optimum = _programme(np.append(np.zeros(n), -1.0), rows, np.zeros(len(rows)), equal, free=1)
        w, margin = _exact(problem, optimum[:n]), optimum[n]
        if margin <= 0:
            raise ValueError("no weights have a margin; expected a feasible task")
        if not _add_violated(problem, w, margin, tol):
            return problem, w, margin, True, step + 1
    return problem, w, margin, False, max_rounds


def _programme(cost, above, limits, equal, free: int = 0) -> np.ndarray:
    """Least cost with above x <= limits, equal x = 0 and |x_i| <= 1 except for the last `free`."""
    bounds = [(-1.0, 1.0)] * (len(cost) - free) + [(None, None)] * free
    solution = linprog(cost, above, limits, equal, np.zeros(len(equal)), bounds, method="highs")
    if solution.x is None:
        raise ValueError(f"the linear programme has no solution: {solution.message}")
    return solution.x


def _exact(problem: Problem, w: np.ndarray) -> np.ndarray:
    """w on the equalities, which the programme meets to its own tolerance only."""
    return w - (w @ problem.basis.T) @ problem.basis


def _add_violated(problem: Problem, w: np.ndarray, margin: float, tol: float) -> bool:
    """Add the local minima of w's rows that lie below the margin; False if there are none."""
    scaled = w / margin
    minima = worst(problem.space.potential(scaled, np.empty(0)), problem.layout, problem.theta(scaled), keep=tol)
    fresh = problem.cuts.new(minima.patterns, minima.times, minima.kinds)
    if fresh.any():
        problem.add(minima.patterns[fresh], minima.times[fresh], minima.kinds[fresh])
    return bool(fresh.any())


def least_squares(
    spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, kind: str, level: float,
    noise: np.ndarray, window: float = 2.0, step: float = 1.0,
) -> Fit:  # fmt: skip
    """Ridge regression of V = 1 at the targets and 0 at times `step` ms apart, resets included.

    Ridge, weight of the targets and threshold are those of the best F1 over the noisy draws, the largest ridge among
    equals.
    """
    plain = layout.build(spikes, [targets], psp, 1.0, 0.0, exact=False)
    t = np.arange(step, spikes.duration, step)
    t = t[np.abs(t[:, None] - targets).min(axis=1) > step]
    at = np.append(t, targets)
    x = plain.traces(np.zeros(len(at), dtype=int), at)[0]
    lags = at[:, None] - targets[None, :]
    desired = np.where(lags > 0, np.exp(-np.maximum(lags, 0) / psp.tau_m), 0.0).sum(axis=1)
    desired[len(t) :] += 1.0
    unit = float((x**2).mean())
    best: tuple[float, np.ndarray] | None = None
    tried = 0
    for weight in WEIGHTS:
        of_row = np.append(np.full(len(t), 1 / len(t)), np.full(len(targets), weight / len(targets)))
        gram, right = x.T @ (of_row[:, None] * x), x.T @ (of_row * desired)
        for ridge in sorted(RIDGES, reverse=True):
            w = np.linalg.solve(gram + ridge * unit * np.eye(len(gram)), right)
            for threshold in THRESHOLDS:
                tried += 1
                f1 = trials(w / threshold, 1.0, spikes, targets, psp, kind, level, noise, window).f1
                if best is None or f1 > best[0]:
                    best = f1, w / threshold
    assert best is not None
    return Fit(best[1], True, tried)


def perceptron(
    spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, window: float = 1.0, rate: float = 0.02,
    max_steps: int = 50_000,
) -> Fit:  # fmt: skip
    """First-error perceptron at threshold 1: run, stop at the first spike that is wrong or missing, step there.

    A spike within +-window ms of a target is right; w loses rate x(t) at a wrong spike and gains it at a missed target.
    It has converged if all of the run is right.
    """
    times, neurons = spikes[0]
    w = np.zeros(spikes.n_neurons)
    steps = _perceptron(
        w, times, neurons, targets, spikes.duration, psp.tau_m, psp.tau_s, psp.v0, window, rate, max_steps
    )
    return Fit(w, steps < max_steps, steps)


@njit(cache=True, error_model="numpy")
def _perceptron(w, times, neurons, targets, end, tau_m, tau_s, v0, window, rate, max_steps):
    kicks, out = np.empty(len(times)), np.empty(len(targets) + 1)
    for step in range(max_steps):
        for i in range(len(times)):
            kicks[i] = w[neurons[i]]
        n = free_run(times, kicks, end, 1.0, tau_m, tau_s, v0, out)
        at, sign, d = -1.0, 0.0, 0
        for j in range(n):
            if d < len(targets) and abs(out[j] - targets[d]) <= window:
                d += 1
            elif d < len(targets) and out[j] > targets[d]:
                break
            else:
                at, sign = out[j], -1.0
                break
        if sign == 0.0:
            if d == len(targets):
                return step
            at, sign = targets[d], 1.0
        for i in range(len(times)):
            lag = at - times[i]
            if lag <= 0.0:
                break
            w[neurons[i]] += sign * rate * v0 * (np.exp(-lag / tau_m) - np.exp(-lag / tau_s))
    return max_steps
