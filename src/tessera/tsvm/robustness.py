"""How much noise trained weights bear: free-running trials, and what the margin predicts to first order.

Noise is independent per input: jitter of every input spike (sd in ms), or synaptic, w_i (1 + level xi_i), frozen per
trial. The voltage noise per unit of level is sigma_V(t); the predicted critical level is kappa |w| / <sigma_V>_t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from tessera.common.psp import DoubleExponential
from tessera.common.spikes import SpikeBatch
from tessera.tsvm.neuron import MAX_SPIKES, free_run, match_sorted

KINDS = ("jitter", "synaptic")


@dataclass(frozen=True)
class Trials:
    """One level: mean F1, fraction of trials without error, root mean square shift (ms) of matched spikes."""

    f1: float
    perfect: float
    shift: float


def draws(kind: str, spikes: SpikeBatch, count: int, rng: np.random.Generator) -> np.ndarray:
    """Unit normal noise of `count` trials: (count, spikes) for jitter, (count, N) for synaptic noise."""
    if kind not in KINDS:
        raise ValueError(f"noise is {kind!r}; valid are {', '.join(KINDS)}")
    return rng.normal(size=(count, len(spikes.times) if kind == "jitter" else spikes.n_neurons))


def trials(
    w: np.ndarray, theta: float, spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential,
    kind: str, level: float, noise: np.ndarray, window: float = 2.0,
) -> Trials:  # fmt: skip
    """Run the free neuron on one pattern under every draw of noise, and score it against targets within +-window ms."""
    times, neurons = spikes.pattern(0)
    scores = _trials(
        np.ascontiguousarray(w), theta, times, neurons, targets, spikes.duration, psp.tau_m, psp.tau_s, psp.v0,
        kind == "jitter", level, noise, window,
    )  # fmt: skip
    hits = scores[:, 1].sum()
    return Trials(scores[:, 0].mean(), scores[:, 3].mean(), float(np.sqrt(scores[:, 2].sum() / max(hits, 1))))


def critical_level(measure, low: float = 1e-3, high: float = 10.0, steps: int = 14) -> float:
    """Level at which half of the trials fail, by bisection of its logarithm; measure(level) gives the fraction without
    error. low or high where even they do not bracket it."""
    if measure(low) < 0.5:
        return low
    if measure(high) >= 0.5:
        return high
    a, b = np.log(low), np.log(high)
    for _ in range(steps):
        middle = 0.5 * (a + b)
        a, b = (middle, b) if measure(np.exp(middle)) >= 0.5 else (a, middle)
    return float(np.exp(0.5 * (a + b)))


def voltage_noise(w: np.ndarray, spikes: SpikeBatch, psp: DoubleExponential, kind: str, t: np.ndarray) -> np.ndarray:
    """sigma_V (len(t),) per unit of noise level, at times t in ms, to first order."""
    times, neurons = spikes.pattern(0)
    lags = t[:, None] - times[None, :]
    if kind == "jitter":
        late = np.where(lags > 0, lags, np.inf)
        rise = psp.v0 * (np.exp(-late / psp.tau_s) / psp.tau_s - np.exp(-late / psp.tau_m) / psp.tau_m)
        return np.sqrt((rise**2) @ (w[neurons] ** 2))
    x = np.zeros((len(t), len(w)))
    np.add.at(x.T, neurons, psp(lags).T)
    return np.sqrt((x**2) @ w**2)


def perceptron(
    spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, window: float = 1.0, rate: float = 0.02,
    max_steps: int = 50_000,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """First-error perceptron at threshold 1: run, stop at the first spike that is wrong or missing, step there.

    A spike within +-window ms of a target is right; w loses rate x(t) at a wrong spike and gains it at a missed target.
    Returns w (N,) and the steps taken, max_steps where it has not converged.
    """
    times, neurons = spikes.pattern(0)
    w = np.zeros(spikes.n_neurons)
    steps = _perceptron(
        w, times, neurons, targets, spikes.duration, psp.tau_m, psp.tau_s, psp.v0, window, rate, max_steps
    )
    return w, steps


@njit(cache=True, error_model="numpy")
def _trials(w, theta, times, neurons, targets, end, tau_m, tau_s, v0, jitter, level, noise, window):
    scores = np.empty((len(noise), 4))
    out, shifts = np.empty(MAX_SPIKES), np.empty(len(targets))
    kicks = np.empty(len(times))
    for k in range(len(noise)):
        if jitter:
            moved = np.minimum(np.maximum(times + level * noise[k], 0.0), end)
            order = np.argsort(moved)
            at = moved[order]
            for i in range(len(times)):
                kicks[i] = w[neurons[order[i]]]
        else:
            at = times
            for i in range(len(times)):
                kicks[i] = w[neurons[i]] * (1.0 + level * noise[k, neurons[i]])
        n = free_run(at, kicks, end, theta, tau_m, tau_s, v0, out)
        hits = match_sorted(out, n, targets, window, shifts)
        scores[k, 0] = 2.0 * hits / (n + len(targets))
        scores[k, 1] = hits
        scores[k, 2] = (shifts[:hits] ** 2).sum()
        scores[k, 3] = 1.0 if hits == n and hits == len(targets) else 0.0
    return scores


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
