"""The noise at which half of the trials should fail: by the margin alone, and by the whole potential.

by margin    kappa |w| / <sigma_V>_t: the margin in units of the noise. A scale, not a level: it ignores
             how often noise is tried
by survival  P(no error) = exp(-int rate dt) prod_d P(O_d > noise). Gaussian noise of correlation time tau_n reaches
             theta from V(t) at Rice's rate exp(-((theta - V)/sigma_V)^2 / 2) / (2 pi tau_n), outside the windows
             before targets; a target is lost if noise exceeds its overshoot O_d within the window. tau_n is
             sqrt(tau_m tau_s), that of the membrane noise. Errors are taken as independent.

Both are our derivations, to first order, for neurons that fire at the targets without noise.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import layout
from tessera.tsvm.margin import worst
from tessera.tsvm.robustness import voltage_noise
from tessera.tsvm.spaces import LinearSpace

#: ms between two times at which noise and potential are taken.
STEP = 0.25


def threshold_margin(w: np.ndarray, spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, tau_c: float,
                     hold: float) -> float:  # fmt: skip
    """kappa |w| at threshold 1: the least row, below 0 if a bound is violated. w must give V = 1 at the targets."""
    pieces = layout.build(spikes, [targets], psp, tau_c, hold)
    return worst(LinearSpace(pieces).potential(w, np.empty(0)), pieces, 1.0).least


def by_margin(w: np.ndarray, margin: float, spikes: SpikeBatch, psp: DoubleExponential, kind: str) -> float:
    """Level kappa |w| / <sigma_V>_t of weights at threshold 1."""
    t = np.arange(STEP, spikes.duration, STEP)
    return margin / float(voltage_noise(w, 1.0, spikes, psp, kind, t).mean())


def by_survival(
    w: np.ndarray, spikes: SpikeBatch, targets: np.ndarray, psp: DoubleExponential, kind: str, window: float,
    low: float = 1e-3, high: float = 10.0,
) -> float:  # fmt: skip
    """Level at which half of the trials should fail; low or high if they do not bracket it."""
    t = np.arange(STEP, spikes.duration, STEP)
    wait = np.append(targets, np.inf)[np.searchsorted(targets, t)] - t
    t = t[wait > window]
    gap = 1 - _potential(w, spikes, targets, psp, t)
    sd = np.maximum(voltage_noise(w, 1.0, spikes, psp, kind, t), 1e-12)
    overshoot = np.empty(len(targets))
    for d, target in enumerate(targets):
        end = min(
            target + window, np.append(targets, spikes.duration)[d + 1] if d + 1 < len(targets) else spikes.duration
        )
        after = np.linspace(target, end, 21)
        overshoot[d] = (_potential(w, spikes, targets[:d], psp, after) - 1).max()
    at_target = np.maximum(voltage_noise(w, 1.0, spikes, psp, kind, targets), 1e-12)

    def excess(logarithm: float) -> float:
        level = np.exp(logarithm)
        rate = np.exp(-0.5 * (gap / (level * sd)) ** 2) / (2 * np.pi * psp.correlation_time)
        kept = np.log(np.maximum(ndtr(overshoot / (level * at_target)), 1e-300)).sum()
        return float(kept - rate.sum() * STEP + np.log(2))

    if excess(np.log(low)) < 0:
        return low
    if excess(np.log(high)) > 0:
        return high
    return float(np.exp(brentq(excess, np.log(low), np.log(high), xtol=1e-6)))


def _potential(w, spikes, resets, psp, t) -> np.ndarray:
    """V (len(t),) at threshold 1 with the given resets, before a spike at t."""
    times, neurons = spikes[0]
    v = psp(t[:, None] - times[None, :]) @ w[neurons]
    lags = t[:, None] - resets[None, :]
    return v - np.where(lags > 0, np.exp(-np.maximum(lags, 0.0) / psp.tau_m), 0.0).sum(axis=1)
