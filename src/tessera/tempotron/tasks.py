"""Random classification tasks: spike ensembles with fair labels, and their idealisation as independent bins."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch

Ensemble = Literal["poisson", "single", "synchrony"]


def duration(k: float, kernel: DoubleExponential) -> float:
    """Pattern duration T in ms that holds K = T / sqrt(tau_m tau_s) independent times."""
    return k * kernel.correlation_time


def spike_patterns(ensemble: Ensemble, n: int, p: int, duration: float, rng: np.random.Generator) -> SpikeBatch:
    """Draw p patterns of n afferents over `duration` ms.

    poisson:   independent Poisson trains of rate 1/T, so one spike per afferent on average; a pattern that comes out
               without any spike (probability e^-n) is drawn again
    single:    one spike per afferent, uniform on [0, T]
    synchrony: a random half of the afferents, all at T/2: a control without temporal information, a static perceptron
    """
    if ensemble == "single":
        return SpikeBatch.from_dense(rng.uniform(0, duration, (p, n)), duration)
    if ensemble == "poisson":
        return SpikeBatch.from_patterns([_poisson(n, duration, rng) for _ in range(p)], n, duration)
    if ensemble == "synchrony":
        volleys = [np.sort(rng.permutation(n)[: max(n // 2, 1)]) for _ in range(p)]
        return SpikeBatch.from_patterns([(np.full(len(i), duration / 2), i) for i in volleys], n, duration)
    raise ValueError(f"ensemble is {ensemble!r}; expected poisson, single or synchrony")


def _poisson(n: int, duration: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    while (count := rng.poisson(n)) == 0:
        pass
    return np.sort(rng.uniform(0, duration, count)), rng.integers(n, size=count)


def labels(p: int, rng: np.random.Generator, balanced: bool = False) -> np.ndarray:
    """Labels +-1 of p patterns: i.i.d. fair, or exactly half of each (one more null if p is odd)."""
    if balanced:
        return rng.permutation(np.where(np.arange(p) < p // 2, 1, -1))
    return rng.choice((-1, 1), size=p)


def bin_patterns(k: int, n: int, p: int, rng: np.random.Generator) -> np.ndarray:
    """p patterns of k independent Gaussian vectors, (p, k, n): a neuron that decides by max_k w.x_k.

    The reference model of the theory: the K independent times of a tempotron without their correlations.
    """
    return rng.normal(size=(p, k, n))
