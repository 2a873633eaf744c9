"""Laws of the maximum of a stationary Gaussian potential over T: Rice, Gumbel, and exact samples to hold them against.

The potential of a tempotron with many afferents, in units of its standard deviation, is a Gaussian process with
autocovariance C (`DoubleExponential.autocovariance`). It crosses a level h upwards exp(-h^2/2) / (2 pi sqrt(tau_m
tau_s)) times per ms (Rice), so a pattern of T ms holds K = T / sqrt(tau_m tau_s) independent times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.signal import lfilter
from scipy.special import exprel, ndtr

from tessera.neurons.psp import DoubleExponential
from tessera.tempotron import tasks
from tessera.tempotron.neuron import max_potential
from tessera.tempotron.params import MaximumParams

#: The laws: distribution functions of h (any shape) at K > 0.
LAWS = ("rice", "gumbel", "gumbel_iid", "iid")
#: Probabilities of the quantiles by which a distribution is kept.
PROBABILITIES = (np.arange(400) + 0.5) / 400


def effective_times(duration: float, kernel: DoubleExponential) -> float:
    """K = T / sqrt(tau_m tau_s); duration T in ms."""
    return duration / kernel.correlation_time


def law(name: str, h: np.ndarray, k: float) -> np.ndarray:
    """P(max V / sigma < h) by one of four laws.

    rice:       exp(-K/(2 pi) exp(-h^2/2)), Poisson up-crossings; for high levels, 0 below h = 0
    gumbel:     exp(-exp(-a (h - a))), a = sqrt(2 ln(K/(2 pi))): Rice linearised; needs K > 2 pi
    gumbel_iid: Gumbel law of the maximum of K independent Gaussians, scale b = 1/sqrt(2 ln K), location
                1/b - b (ln ln K + ln 4 pi)/2; needs K > 1
    iid:        Phi(h)^K, the maximum of K independent Gaussians
    """
    h = np.asarray(h, dtype=float)
    if name == "rice":
        return np.where(h < 0, 0.0, np.exp(-k / (2 * math.pi) * np.exp(-(h**2) / 2)))
    if name == "gumbel":
        if k <= 2 * math.pi:
            raise ValueError(f"K is {k}; this Gumbel law needs K > 2 pi")
        a = math.sqrt(2 * math.log(k / (2 * math.pi)))
        return np.exp(-np.exp(-a * (h - a)))
    if name == "gumbel_iid":
        if k <= 1:
            raise ValueError(f"K is {k}; this Gumbel law needs K > 1")
        top = math.sqrt(2 * math.log(k))
        location = top - (math.log(math.log(k)) + math.log(4 * math.pi)) / (2 * top)
        return np.exp(-np.exp(-top * (h - location)))
    if name == "iid":
        return ndtr(h) ** k
    raise ValueError(f"law is {name!r}; expected one of {', '.join(LAWS)}")


def rice_median(k: float) -> float:
    """Median sqrt(2 ln(K / (2 pi ln 2))) of the Rice law; needs K > 2 pi ln 2 = 4.36."""
    if k <= 2 * math.pi * math.log(2):
        raise ValueError(f"K is {k}; the Rice median needs K > 2 pi ln 2")
    return math.sqrt(2 * math.log(k / (2 * math.pi * math.log(2))))


def sup_distance(samples: np.ndarray, name: str, k: float) -> float:
    """Largest difference between the empirical distribution of the samples and a law (Kolmogorov's distance)."""
    x = np.sort(samples)
    p, n = law(name, x, k), len(x)
    return float(max(np.max(np.arange(1, n + 1) / n - p), np.max(p - np.arange(n) / n)))


def process_paths(
    k: float, n: int, rng: np.random.Generator, kernel: DoubleExponential | None = None, dt: float = 0.25
) -> Iterator[np.ndarray]:
    """Yield n exact samples of the stationary process with autocovariance C, unit variance, some rows at a time.

    Rows are the values at 0, dt, 2 dt, ... up to T = K sqrt(tau_m tau_s), dt in ms. V ~ a - b, two Ornstein-Uhlenbeck
    states of decay tau_m and tau_s driven by one white noise, updated exactly over a step. The states are kept as a and
    c = (b - a)/(tau_m - tau_s), which stay apart however close the time constants are.
    """
    kernel = kernel or DoubleExponential()
    steps = max(round(k * kernel.correlation_time / dt), 1)
    m, s = kernel.tau_m, kernel.tau_s
    variance = 1 / (2 * (m + s))  # of c, under unit white noise
    stationary = np.array([[m / 2, -m * variance], [-m * variance, variance]])  # covariance of (a, c)
    keep_m, keep_s = math.exp(-dt / m), math.exp(-dt / s)
    passed = keep_m * dt / (m * s) * float(exprel(-dt * kernel.excess / m))  # from a to -c in a step
    step = np.array([[keep_m, 0.0], [-passed, keep_s]])
    increment = np.linalg.cholesky(stationary - step @ stationary @ step.T)
    chunk = max(1, 4_000_000 // steps)  # rows at a time: 32 MB per array of steps
    for first in range(0, n, chunk):
        size = min(chunk, n - first)
        state = rng.normal(size=(size, 2)) @ np.linalg.cholesky(stationary).T
        noise = rng.normal(size=(size, steps, 2)) @ increment.T
        a = np.empty((size, steps + 1))
        a[:, :1] = state[:, :1]
        a[:, 1:] = lfilter([1.0], [1.0, -keep_m], noise[:, :, 0], axis=1, zi=keep_m * state[:, :1])[0]
        c = np.empty_like(a)
        c[:, :1] = state[:, 1:]
        c[:, 1:] = lfilter(
            [1.0], [1.0, -keep_s], noise[:, :, 1] - passed * a[:, :-1], axis=1, zi=keep_s * state[:, 1:]
        )[0]
        yield c / -math.sqrt(variance)


def process_maxima(
    k: float, n: int, rng: np.random.Generator, kernel: DoubleExponential | None = None, dt: float = 0.25
) -> np.ndarray:
    """Maxima (n,) of n samples of `process_paths`, refined by a parabola at the highest value."""
    return np.concatenate([_peak(v) for v in process_paths(k, n, rng, kernel, dt)])


def sampled(k: float, p: MaximumParams, kernel: DoubleExponential, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return largest potentials in standard deviations, by source.

    process: the Gaussian process (traces,); poisson, single: a neuron with random weights on spikes of that ensemble
    (patterns,).
    """
    samples = {"process": process_maxima(k, p.traces, rng, kernel, p.dt)}
    duration = tasks.duration(k, kernel)
    for ensemble in ("poisson", "single"):
        weights = rng.normal(size=p.afferents)
        weights -= weights.mean()  # or the mean drive, the same in all patterns, would widen the law
        spikes = tasks.spike_patterns(ensemble, p.afferents, p.patterns, duration, rng)
        sigma = np.linalg.norm(weights) * np.sqrt(kernel.energy / duration)
        samples[ensemble] = max_potential(weights, spikes, kernel).v_max / sigma
    return samples


def distances(samples: dict[str, np.ndarray], k: float) -> dict[str, float]:
    """Return the medians of `sampled` maxima, and their largest differences from the laws at K.

    median_SOURCE and median_rice; sup_LAW of the Gaussian process; sup_rice_poisson and sup_rice_single of the neuron.
    """
    medians = {f"median_{source}": float(np.median(h)) for source, h in samples.items()} | {
        "median_rice": rice_median(k)
    }
    of_process = {f"sup_{name}": sup_distance(samples["process"], name, k) for name in LAWS}
    of_neuron = {f"sup_rice_{name}": sup_distance(samples[name], "rice", k) for name in ("poisson", "single")}
    return medians | of_process | of_neuron


def _peak(v: np.ndarray) -> np.ndarray:
    rows, top = np.arange(len(v)), v.argmax(axis=1)
    inner = np.clip(top, 1, max(v.shape[1] - 2, 1))
    left, mid, right = (v[rows, np.minimum(inner + d, v.shape[1] - 1)] for d in (-1, 0, 1))
    curvature = left - 2 * mid + right
    bent = (top == inner) & (curvature < 0)
    rise = (left - right) ** 2 / np.where(bent, -8 * curvature, 1.0)
    return np.where(bent, mid + rise, v[rows, top])
