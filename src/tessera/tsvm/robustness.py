"""How much noise trained weights tolerate: free-running trials, and what the margin predicts to first order.

Noise is jitter of every input spike (sd in ms), synaptic, w_i (1 + level xi_i), frozen per trial, or of the membrane:
white current filtered by tau_s and tau_m, of sd `level` thresholds once it is stationary. That is the potential of
unit inputs at all times, so it is made of kicks of random size every NOISE_STEP ms, which the event-driven neuron
takes as inputs. The voltage noise per unit of level is sigma_V(t); the predicted critical level is kappa |w| /
<sigma_V>_t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm.neuron import MAX_SPIKES, free_run, match_sorted

KINDS = ("jitter", "synaptic", "membrane")
#: ms between two kicks of the membrane noise; well below tau_s.
NOISE_STEP = 0.5


@dataclass(frozen=True)
class Trials:
    """One level: mean F1, fraction of trials without error, root mean square shift (ms) of matched spikes."""

    f1: float
    perfect: float
    shift: float


def draws(kind: str, spikes: SpikeBatch, count: int, rng: np.random.Generator) -> np.ndarray:
    """Unit normal noise of `count` trials: (count, spikes) for jitter, (count, N) for synaptic noise, (count, kicks)
    for that of the membrane."""
    sizes = {"jitter": len(spikes.times), "synaptic": spikes.n_neurons, "membrane": len(kicks_at(spikes.duration))}
    if kind not in KINDS:
        raise ValueError(f"noise is {kind!r}; expected one of {', '.join(KINDS)}")
    return rng.normal(size=(count, sizes[kind]))


def kicks_at(duration: float, step: float = NOISE_STEP) -> np.ndarray:
    """Times in ms of the kicks of the membrane noise, from 0 on."""
    return np.arange(int(np.ceil(duration / step))) * step


def kick_size(psp: DoubleExponential, step: float = NOISE_STEP) -> float:
    """sd of a kick that makes the stationary sd of the potential 1: the kicks' potentials add up to energy/step."""
    return float(np.sqrt(step / psp.energy))


def trials(
    w: np.ndarray, theta: float, spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential,
    kind: str, level: float, noise: np.ndarray, window: float = 2.0,
) -> Trials:  # fmt: skip
    """Run the free neuron on one pattern under every draw of noise, and score it against targets within +-window ms."""
    times, kicks, index = _inputs(w, theta, spikes, psp, kind)
    scores = _trials(
        kicks, theta, times, index, targets, spikes.duration, psp.tau_m, psp.tau_s, psp.v0, KINDS.index(kind), level,
        noise, window,
    )  # fmt: skip
    hits = scores[:, 1].sum()
    return Trials(scores[:, 0].mean(), scores[:, 3].mean(), float(np.sqrt(scores[:, 2].sum() / max(hits, 1))))


def spikes_under(
    w: np.ndarray, theta: float, spikes: SpikeBatch, psp: DoubleExponential, kind: str, level: float, noise: np.ndarray
) -> list[np.ndarray]:
    """Output spikes in ms of the free neuron on one pattern, one array per draw."""
    times, kicks, index = _inputs(w, theta, spikes, psp, kind)
    outputs, out, noisy = [], np.empty(MAX_SPIKES), np.empty(len(times))
    for draw in noise:
        at = _disturb(kicks, times, index, spikes.duration, KINDS.index(kind), level, draw, noisy)
        n = free_run(at, noisy, spikes.duration, theta, psp.tau_m, psp.tau_s, psp.v0, out)
        outputs.append(out[:n].copy())
    return outputs


def _inputs(w, theta, spikes, psp, kind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, weights and neurons of all inputs in order; kicks of the membrane are separate inputs.

    The third array then holds the number of the kick, and -1 for other inputs.
    """
    times, neurons = spikes[0]
    kicks = np.ascontiguousarray(w[neurons])
    if kind != "membrane":
        return times, kicks, neurons
    at = kicks_at(spikes.duration)
    order = np.argsort(np.append(times, at), kind="stable")
    sizes = np.append(kicks, np.full(len(at), theta * kick_size(psp)))
    which = np.append(np.full(len(neurons), -1), np.arange(len(at))).astype(neurons.dtype)
    return np.append(times, at)[order], sizes[order], which[order]


def critical_level(measure, low: float = 1e-3, high: float = 10.0, steps: int = 14) -> float:
    """Level at which half of the trials fail, by bisection of its logarithm; measure(level) gives the fraction without
    error. low or high if they do not bracket it."""
    if measure(low) < 0.5:
        return low
    if measure(high) >= 0.5:
        return high
    a, b = np.log(low), np.log(high)
    for _ in range(steps):
        middle = 0.5 * (a + b)
        a, b = (middle, b) if measure(np.exp(middle)) >= 0.5 else (a, middle)
    return float(np.exp(0.5 * (a + b)))


def voltage_noise(
    w: np.ndarray, theta: float, spikes: SpikeBatch, psp: DoubleExponential, kind: str, t: np.ndarray
) -> np.ndarray:
    """sigma_V (len(t),) per unit of noise level, at times t in ms, to first order."""
    return np.sqrt((_responses(w, theta, spikes, psp, kind, t) ** 2).sum(axis=1))


def timing_noise(
    w: np.ndarray, theta: float, spikes: SpikeBatch, psp: DoubleExponential, kind: str, at: np.ndarray
) -> np.ndarray:
    """sd in ms per unit of noise level by which each of the neuron's own spikes (n,) moves, to first order.

    V'_k D_k = -n_k + theta/tau_m sum_{j<k} exp(-(t_k - t_j)/tau_m) D_j: noise n moves a crossing by n over the slope,
    and an earlier spike that moved by D_j leaves its reset behind. Our derivation.
    """
    times, neurons = spikes[0]
    noise = _responses(w, theta, spikes, psp, kind, at)
    later = at[:, None] - at[None, :]
    resets = np.where(later > 0, np.exp(-np.maximum(later, 0.0) / psp.tau_m), 0.0)
    slope = _rise(psp, at[:, None] - times[None, :]) @ w[neurons] + theta / psp.tau_m * resets.sum(axis=1)
    shifts = np.linalg.solve(np.diag(slope) - theta / psp.tau_m * resets, noise)
    return np.sqrt((shifts**2).sum(axis=1))


def _responses(w, theta, spikes, psp, kind, t) -> np.ndarray:
    """(len(t), variables): what one unit of each independent variable of the noise does to V at times t."""
    times, neurons = spikes[0]
    lags = t[:, None] - times[None, :]
    if kind == "jitter":
        return _rise(psp, lags) * -w[neurons]
    if kind == "synaptic":
        x = np.zeros((len(t), len(w)))
        np.add.at(x.T, neurons, psp(lags).T)
        return x * w
    return theta * kick_size(psp) * psp(t[:, None] - kicks_at(spikes.duration)[None, :])


def _rise(psp: DoubleExponential, lags: np.ndarray) -> np.ndarray:
    """k' at lags in ms, 1/ms; 0 before and at the spike."""
    late = np.where(lags > 0, lags, np.inf)
    return psp.v0 * (np.exp(-late / psp.tau_s) / psp.tau_s - np.exp(-late / psp.tau_m) / psp.tau_m)


@njit(cache=True, error_model="numpy")
def _disturb(kicks, times, index, end, code, level, noise, noisy):
    """Write the disturbed weights of all inputs into noisy; return their times, in order."""
    if code == 0:
        moved = np.minimum(np.maximum(times + level * noise, 0.0), end)
        order = np.argsort(moved)
        for i in range(len(times)):
            noisy[i] = kicks[order[i]]
        return moved[order]
    for i in range(len(times)):
        if code == 1:
            noisy[i] = kicks[i] * (1.0 + level * noise[index[i]])
        else:
            noisy[i] = kicks[i] if index[i] < 0 else kicks[i] * level * noise[index[i]]
    return times


@njit(cache=True, error_model="numpy")
def _trials(kicks, theta, times, index, targets, end, tau_m, tau_s, v0, code, level, noise, window):
    scores = np.empty((len(noise), 4))
    out, shifts = np.empty(MAX_SPIKES), np.empty(len(targets))
    noisy = np.empty(len(times))
    for k in range(len(noise)):
        at = _disturb(kicks, times, index, end, code, level, noise[k], noisy)
        n = free_run(at, noisy, end, theta, tau_m, tau_s, v0, out)
        hits = match_sorted(out, n, targets, window, shifts)
        scores[k, 0] = 2.0 * hits / (n + len(targets))
        scores[k, 1] = hits
        scores[k, 2] = (shifts[:hits] ** 2).sum()
        scores[k, 3] = 1.0 if hits == n and hits == len(targets) else 0.0
    return scores
