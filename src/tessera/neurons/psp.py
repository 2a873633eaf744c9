"""The postsynaptic potential of one spike: a difference of two exponentials with unit peak."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: Least (tau_m - tau_s)/tau_s at which the factor V0, and with it the form of two exponentials, keeps ten digits.
LEAST_EXCESS = 1e-6


@dataclass(frozen=True)
class DoubleExponential:
    """k(s) = V0 (exp(-s/tau_m) - exp(-s/tau_s)) for s > 0, else 0, with max k = 1.

    tau_m, tau_s: membrane and synaptic time constant in ms, tau_m >= tau_s > 0. As they approach each other V0 diverges
    and k tends to the alpha function exp(1) s/tau exp(-s/tau), so k is evaluated as

        k(s) = gain exp(-y) (1 - exp(-x y))/x,    y = s/tau_m,    x = (tau_m - tau_s)/tau_s,    gain = x V0,

    which holds for every ratio; at x = 0 the fraction is y.
    """

    tau_m: float = 15.0
    tau_s: float = 3.75

    def __post_init__(self) -> None:
        if not (0 < self.tau_s <= self.tau_m < math.inf):
            raise ValueError(
                f"tau_m is {self.tau_m} and tau_s is {self.tau_s} ms; expected tau_m > tau_s > 0, or both equal"
            )

    @property
    def excess(self) -> float:
        """x = (tau_m - tau_s)/tau_s >= 0."""
        return (self.tau_m - self.tau_s) / self.tau_s

    @cached_property
    def gain(self) -> float:
        """eta^(eta/(eta-1)), eta = tau_m/tau_s: slope of k at 0 in units of 1/tau_m; e at equality."""
        return math.exp((1 + self.excess) * self._log_ratio)

    @cached_property
    def v0(self) -> float:
        """Normalisation V0 = eta^(eta/(eta-1)) / (eta-1), eta = tau_m/tau_s, which makes the peak 1.

        Raises ValueError if the time constants are too close for two separate exponentials.
        """
        if self.excess < LEAST_EXCESS:
            raise ValueError(
                f"tau_m is {self.tau_m} and tau_s is {self.tau_s} ms; two separate exponentials need a ratio of at "
                f"least 1 + {LEAST_EXCESS:g}"
            )
        return self.gain / self.excess

    @property
    def peak_time(self) -> float:
        """Time of the peak after the spike, ms: tau_m tau_s ln(eta) / (tau_m - tau_s)."""
        return self.tau_m * self._log_ratio

    @property
    def _log_ratio(self) -> float:
        """ln(1 + x)/x."""
        return math.log1p(self.excess) / self.excess if self.excess > 0 else 1.0

    @property
    def area(self) -> float:
        """Integral of k, ms: V0 (tau_m - tau_s)."""
        return self.gain * self.tau_s

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
        return self.rise(lag) * np.exp(-lag / self.tau_m)

    def rise(self, s: np.ndarray | float) -> np.ndarray:
        """k exp(s/tau_m) at lags s >= 0 (any shape, ms): what k is before it decays with tau_m."""
        y, x = np.asarray(s) / self.tau_m, self.excess
        return self.gain * (-np.expm1(-x * y) / x if x > 0 else y)

    def slope(self, s: np.ndarray | float) -> np.ndarray:
        """k' at lags s (any shape, ms), per ms; at 0 from the right."""
        lag = np.maximum(s, 0.0)
        return np.where(s < 0, 0.0, self.gain / self.tau_m * np.exp(-lag / self.tau_m) - self(lag) / self.tau_s)

    def autocovariance(self, lag: np.ndarray | float) -> np.ndarray:
        """C(lag), lag in ms: normalised autocovariance of the potential under Poisson input, C(0) = 1.

        C = (tau_m exp(-lag/tau_m) - tau_s exp(-lag/tau_s)) / (tau_m - tau_s), again in a form for every ratio.
        """
        lag = np.abs(lag)
        return np.exp(-lag / self.tau_m) * (1 + self.rise(lag) / self.gain)
