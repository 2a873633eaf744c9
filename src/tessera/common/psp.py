"""The postsynaptic potential of one spike: a difference of two exponentials with unit peak."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class DoubleExponential:
    """k(s) = V0 (exp(-s/tau_m) - exp(-s/tau_s)) for s > 0, else 0, with max k = 1.

    tau_m, tau_s: membrane and synaptic time constant in ms, tau_m > tau_s > 0.
    """

    tau_m: float = 15.0
    tau_s: float = 3.75

    def __post_init__(self) -> None:
        if not (0 < self.tau_s < self.tau_m < math.inf):
            raise ValueError(f"tau_m is {self.tau_m} and tau_s is {self.tau_s} ms; they must satisfy tau_m > tau_s > 0")

    @cached_property
    def v0(self) -> float:
        """Normalisation V0 = eta^(eta/(eta-1)) / (eta-1), eta = tau_m/tau_s, which makes the peak 1."""
        eta = self.tau_m / self.tau_s
        return eta ** (eta / (eta - 1)) / (eta - 1)

    @cached_property
    def peak_time(self) -> float:
        """Time of the peak after the spike, ms: tau_m tau_s ln(eta) / (tau_m - tau_s)."""
        return self.tau_m * self.tau_s / (self.tau_m - self.tau_s) * math.log(self.tau_m / self.tau_s)

    @property
    def area(self) -> float:
        """Integral of k, ms."""
        return self.v0 * (self.tau_m - self.tau_s)

    @property
    def energy(self) -> float:
        """Integral of k squared, ms."""
        return self.area**2 / (2 * (self.tau_m + self.tau_s))

    @property
    def correlation_time(self) -> float:
        """sqrt(tau_m tau_s), ms: the time over which the potential decorrelates, 1/sqrt(-C''(0))."""
        return math.sqrt(self.tau_m * self.tau_s)

    def __call__(self, s: np.ndarray | float) -> np.ndarray:
        """k at lags s (any shape, ms)."""
        lag = np.maximum(s, 0.0)
        return self.v0 * (np.exp(-lag / self.tau_m) - np.exp(-lag / self.tau_s))

    def autocovariance(self, lag: np.ndarray | float) -> np.ndarray:
        """C(lag), lag in ms: normalised autocovariance of the potential under Poisson input, C(0) = 1."""
        lag = np.abs(lag)
        m, s = self.tau_m, self.tau_s
        return (m * np.exp(-lag / m) - s * np.exp(-lag / s)) / (m - s)
