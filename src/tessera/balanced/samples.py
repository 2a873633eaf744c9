"""Random tasks: activities X (P, N) with excitatory columns first, labels y (P,) and signs g (N,)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera.balanced.theory import Afferents


class Task(NamedTuple):
    """X (P, N) float64, y (P,) +-1, signs (N,) +-1."""

    X: NDArray
    y: NDArray
    signs: NDArray


def signs_of(n: int, f_exc: float) -> NDArray:
    """+1 for the first round(f N) afferents, -1 for the rest."""
    return np.where(np.arange(n) < round(f_exc * n), 1.0, -1.0)


def labels(rng: np.random.Generator, count: int, p_out: float) -> NDArray:
    """Exactly round(p P) plus labels, at least one of each kind, in random order.

    With independent labels their number alone doubles the spread of the margins from seed to seed.
    """
    plus = min(max(round(p_out * count), 1), count - 1)
    return rng.permutation(np.where(np.arange(count) < plus, 1.0, -1.0))


def gaussian(rng: np.random.Generator, n: int, count: int, aff: Afferents) -> Task:
    """Gaussian activities with the given means and deviations: the control without third moments."""
    g = signs_of(n, aff.f_exc)
    sd = np.where(g > 0, aff.sd_exc, aff.sd_exc * aff.sd_ratio)
    cv = np.where(g > 0, aff.cv_exc, aff.cv_exc / aff.cv_ratio)
    return Task(sd / cv + sd * rng.standard_normal((count, n)), labels(rng, count, aff.p_out), g)


def exponential_gamma(rng: np.random.Generator, n: int, count: int, aff: Afferents) -> Task:
    """Positive rates: gamma activities of shape 1/CV^2 for each type; CV_E = 1 makes excitation exponential."""
    g = signs_of(n, aff.f_exc)
    n_exc = int((g > 0).sum())
    cv_inh = aff.cv_exc / aff.cv_ratio
    exc = rng.gamma(aff.cv_exc**-2, aff.sd_exc * aff.cv_exc, size=(count, n_exc))
    inh = rng.gamma(cv_inh**-2, aff.sd_exc * aff.sd_ratio * cv_inh, size=(count, n - n_exc))
    return Task(np.hstack([exc, inh]), labels(rng, count, aff.p_out), g)


INPUTS = {"gaussian": gaussian, "exponential_gamma": exponential_gamma}


def binary(rng: np.random.Generator, n: int, count: int, f_exc: float, p_out: float) -> Task:
    """Activities 0 or 1 with probability one half: the learning task."""
    return Task(rng.integers(0, 2, (count, n)).astype(float), labels(rng, count, p_out), signs_of(n, f_exc))


def memories(rng: np.random.Generator, n: int, count: int, f_exc: float, q_exc: float, q_inh: float) -> Task:
    """Binary memories x (P, N) in which neuron i is active in exactly round(q_i P) of them; y is empty."""
    g = signs_of(n, f_exc)
    active = np.where(g > 0, round(q_exc * count), round(q_inh * count))
    order = rng.random((count, n)).argsort(0)
    return Task((order < active).astype(float), np.empty(0), g)
