"""Replica theory of the sign-constrained perceptron in the limit N -> infinity.

Gordon's min-max comparison makes the replica-symmetric equations exact, since the problems are convex. All of them
reduce to nested one-dimensional roots in guaranteed brackets. Symbols follow Rubin, Abbott and Sompolinsky (PNAS 114,
E9366, 2017): alpha = P/N load, f_exc excitatory fraction, p_out fraction of plus labels, phi = CV_E/CV_I, lambda =
sigma_I/sigma_E. A neuron says plus iff w.x > 1, with g_i w_i >= 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SQRT2 = math.sqrt(2.0)
_SQRT2PI = math.sqrt(2.0 * math.pi)


@dataclass(frozen=True)
class Afferents:
    """Statistics of inputs and labels.

    f_exc: fraction of excitatory afferents, 0..1; p_out: probability of a plus label, in (0, 1); cv_ratio: phi =
    CV_E/CV_I > 0; sd_ratio: lambda = sigma_I/sigma_E > 0; cv_exc, sd_exc: CV and standard deviation of the
    excitatory activity, both > 0. Raises ValueError that names the offending field.
    """

    f_exc: float
    p_out: float
    cv_ratio: float = 1.0
    sd_ratio: float = 1.0
    cv_exc: float = 1.0
    sd_exc: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.f_exc <= 1:
            raise ValueError(f"f_exc: {self.f_exc} is not within [0, 1]")
        if not 0 < self.p_out < 1:
            raise ValueError(f"p_out: {self.p_out} is not within (0, 1)")
        for name in ("cv_ratio", "sd_ratio", "cv_exc", "sd_exc"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: {getattr(self, name)} is not a positive number")


def pdf(x: float) -> float:
    """Density of a standard normal variable."""
    return math.exp(-0.5 * x * x) / _SQRT2PI


def tail(x: float) -> float:
    """H(x) = P(t > x), t ~ N(0, 1)."""
    return 0.5 * math.erfc(x / _SQRT2)


def first(x: float) -> float:
    """K(x) = E (t - x)_+, t ~ N(0, 1)."""
    return pdf(x) - x * tail(x)


def second(x: float) -> float:
    """J(x) = E (t - x)_+^2, t ~ N(0, 1)."""
    return (1 + x * x) * tail(x) - x * pdf(x)


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """The root in a bracket that must contain it, to machine precision."""
    from scipy.optimize import brentq

    return brentq(function, low, high, xtol=1e-300, rtol=4 * np.finfo(float).eps, maxiter=500)


def pattern_moment(kappa: float, delta: float, p_out: float) -> float:
    """m(k, D) = p J(-D - k) + (1 - p) J(D - k)."""
    return p_out * second(-delta - kappa) + (1 - p_out) * second(delta - kappa)


@lru_cache(maxsize=4096)
def pattern_threshold(kappa: float, p_out: float) -> float:
    """Delta(k), the threshold that minimises m(k, .): p K(-D - k) = (1 - p) K(D - k)."""
    if p_out == 0.5:
        return 0.0
    # Beyond reach the rarer class alone would decide: K(D) < exp(-D^2/2).
    reach = abs(kappa) + max(12.0, math.sqrt(-2 * math.log(min(p_out, 1 - p_out))))
    return root(lambda d: p_out * first(-d - kappa) - (1 - p_out) * first(d - kappa), -reach, reach)


def demand(kappa: float, p_out: float) -> float:
    """M(k) = min_D m(k, D): squared size of the weight side that a unit load needs."""
    return pattern_moment(kappa, pattern_threshold(kappa, p_out), p_out)


def demand_slope(kappa: float, p_out: float) -> float:
    """M'(k)."""
    d = pattern_threshold(kappa, p_out)
    return 2 * (p_out * first(-d - kappa) + (1 - p_out) * first(d - kappa))


def demand_margin(value: float, p_out: float) -> float:
    """The k >= 0 with M(k) = value; value >= M(0)."""
    high = 1.0
    while demand(high, p_out) < value:
        high *= 2
    return root(lambda k: demand(k, p_out) - value, 0.0, high) if value > demand(0.0, p_out) else 0.0


@dataclass(frozen=True)
class WeightSide:
    """Order parameters of the weights: B (multiplier of the mean input), Z_E, Z_I, and what follows from them.

    a, b: parts of 2C from E and I; mean: net mean input n; total: summed mean input; tilt: theta tilde =
    n/sqrt(a+b), zero in balance; stretch: Q = |u|^2/(sigma_E^2 |w|^2); imbalance: IB = n/total.
    """

    multiplier: float
    z_exc: float
    z_inh: float
    a: float
    b: float
    mean: float
    total: float
    stretch: float

    @property
    def tilt(self) -> float:
        return self.mean / math.sqrt(self.a + self.b)

    @property
    def imbalance(self) -> float:
        return self.mean / self.total


def weight_side(aff: Afferents, multiplier: float, z_exc: float = 1.0, z_inh: float = 1.0) -> WeightSide:
    """Section 5.3: g_i u_i ~ Z_i [zeta - s_i B m_i]_+, with s_E = 1, m_E = 1, s_I = -1, m_I = phi."""
    f, phi = aff.f_exc, aff.cv_ratio
    a = f * second(multiplier) * z_exc**2
    b = (1 - f) * second(-multiplier * phi) * z_inh**2
    exc = f * first(multiplier) * z_exc
    inh = (1 - f) * phi * first(-multiplier * phi) * z_inh
    stretch = (a + b) / (a + b / aff.sd_ratio**2)
    return WeightSide(multiplier, z_exc, z_inh, a, b, exc - inh, exc + inh, stretch)


def balancing_multiplier(aff: Afferents, z_exc: float = 1.0, z_inh: float = 1.0) -> float:
    """B with n = 0: f Z_E K(B) = (1-f) phi Z_I K(-B phi); 0 < f_exc < 1."""
    reach = 40 / min(1.0, aff.cv_ratio)
    return root(lambda b: weight_side(aff, b, z_exc, z_inh).mean, -reach, reach)


def optimal_fraction(cv_ratio: float) -> float:
    """f* = phi/(1 + phi), the excitatory fraction at which balanced networks have their largest capacity."""
    return cv_ratio / (1 + cv_ratio)


def _critical_loads(f_exc: float, p_out: float, cv_ratio: float) -> tuple[float, float]:
    aff = Afferents(f_exc, p_out, cv_ratio)
    if f_exc == 0:
        return 0.0, 0.0
    unsigned_half = 0.5 / demand(0.0, p_out)
    if f_exc == 1:
        return unsigned_half, 0.0
    side = weight_side(aff, balancing_multiplier(aff))
    balanced = (side.a + side.b) / demand(0.0, p_out)
    return (unsigned_half if f_exc >= optimal_fraction(cv_ratio) else balanced), balanced


def critical_loads(f_exc: ArrayLike, p_out: ArrayLike, cv_ratio: ArrayLike) -> tuple[NDArray, NDArray]:
    """(alpha_c, alpha_b): the largest loads with any solution and with a balanced one.

    Arguments broadcast; both results have the broadcast shape (0-d for scalars). f_exc within [0, 1], p_out within
    (0, 1), cv_ratio = CV_E/CV_I > 0. Neither load depends on sigma_I/sigma_E or on the norm of the weights.
    """
    alpha_c, alpha_b = np.vectorize(_critical_loads, otypes=[float, float])(f_exc, p_out, cv_ratio)
    return alpha_c, alpha_b


def _side_at(kappa_in: float, stretch: float, aff: Afferents, balanced: bool) -> tuple[float, WeightSide]:
    """(k, weight side) of section 5.5 at a trial Q."""
    k = kappa_in / math.sqrt(stretch)
    gain = k * demand_slope(k, aff.p_out) / (2 * demand(k, aff.p_out))
    z_exc = 1 / (1 + (stretch - 1) * gain)
    z_inh = 1 / (1 + (stretch / aff.sd_ratio**2 - 1) * gain)
    multiplier = balancing_multiplier(aff, z_exc, z_inh) if balanced else 0.0
    return k, weight_side(aff, multiplier, z_exc, z_inh)


def _consistent_side(kappa_in: float, aff: Afferents, balanced: bool) -> tuple[float, WeightSide]:
    """Solve Q = Q(weight side) on its bracket between 1 and lambda^2."""
    low, high = sorted((1.0, aff.sd_ratio**2))
    if low == high:
        return _side_at(kappa_in, 1.0, aff, balanced)
    q = root(lambda q: _side_at(kappa_in, q, aff, balanced)[1].stretch - q, low, high)
    return _side_at(kappa_in, q, aff, balanced)


def _load(kappa_in: float, aff: Afferents, balanced: bool | None) -> tuple[float, float, WeightSide, bool]:
    """(alpha, k, weight side, is balanced) at a trial kappa_in, unit sigma_E; balanced=None lets the optimum decide."""
    if balanced is not True:
        k, side = _consistent_side(kappa_in, aff, False)
        if balanced is False or side.mean > 0:
            return (side.a + side.b) / demand(k, aff.p_out), k, side, False
    k, side = _consistent_side(kappa_in, aff, True)
    return (side.a + side.b) / demand(k, aff.p_out), k, side, True


@dataclass(frozen=True)
class MarginSolution:
    """Typical solution at a load. kappa_in is in units of the activity, kappa = kappa_out/|u| is dimensionless."""

    alpha: float
    kappa_in: float
    kappa: float
    side: WeightSide
    balanced: bool


def kappa_in_solution(alpha: float, aff: Afferents, balanced: bool | None = None) -> MarginSolution:
    """Maximal kappa_in at load alpha (section 5.5); balanced=True forces theta tilde = 0 as max kappa_out does.

    Raises ValueError if alpha is not in (0, capacity); margins() returns NaN there.
    """
    alpha_c, alpha_b = _critical_loads(aff.f_exc, aff.p_out, aff.cv_ratio)
    capacity = alpha_b if balanced else alpha_c
    if not 0 < alpha < capacity:
        raise ValueError(f"alpha: {alpha} is not within (0, {capacity:.6g}), the capacity of {aff}")
    high = 20.0
    while _load(high, aff, balanced)[0] > alpha:
        high *= 2
    kappa_in = root(lambda x: _load(x, aff, balanced)[0] - alpha, 1e-12, high)
    _, k, side, is_balanced = _load(kappa_in, aff, balanced)
    return MarginSolution(alpha, aff.sd_exc * kappa_in, k, side, is_balanced)


def kappa_0(alpha: float, aff: Afferents) -> float:
    """Scaled maximal output margin between alpha_b and alpha_c: kappa_out = kappa_0 CV_E/sqrt(N).

    The stationary point of kappa/tt over B (S137); at alpha_b the limit from above. Raises ValueError outside
    [alpha_b, alpha_c).
    """
    alpha_c, alpha_b = _critical_loads(aff.f_exc, aff.p_out, aff.cv_ratio)
    if not (alpha_b <= alpha < alpha_c and 0 < aff.f_exc < 1):
        raise ValueError(f"alpha: {alpha} is not within [{alpha_b:.6g}, {alpha_c:.6g}), the unbalanced range of {aff}")
    b_star = balancing_multiplier(aff)
    m_zero = demand(0.0, aff.p_out)
    if alpha == alpha_b:
        return 2 * b_star * math.sqrt(m_zero / alpha_b) / demand_slope(0.0, aff.p_out)

    def size(b: float) -> tuple[float, float]:
        side = weight_side(aff, b)
        return math.sqrt(side.a + side.b) + b * side.tilt, side.tilt

    def slope(b: float) -> float:
        s, tilt = size(b)
        k = demand_margin(s * s / alpha, aff.p_out)
        return k / tilt - 2 * s * b / (alpha * demand_slope(k, aff.p_out))

    # s falls from sqrt(1/2) at B = 0 to sqrt(a + b) at B*, where theta tilde vanishes.
    b_high = root(lambda b: size(b)[0] ** 2 - alpha * m_zero, 0.0, b_star)
    b = root(slope, 0.0, b_high)
    s, tilt = size(b)
    return demand_margin(s * s / alpha, aff.p_out) / tilt


MARGIN_FIELDS = ("kappa_in", "imbalance", "kappa_out_of_kappa_in", "kappa_out", "kappa_0")


def _margins(alpha: float, aff: Afferents) -> tuple[float, ...]:
    alpha_c, alpha_b = _critical_loads(aff.f_exc, aff.p_out, aff.cv_ratio)
    if not 0 < alpha < alpha_c:
        return (math.nan,) * len(MARGIN_FIELDS)
    best = kappa_in_solution(alpha, aff)
    scaled = math.inf if best.balanced else best.kappa / best.side.tilt * aff.cv_exc
    balanced = kappa_in_solution(alpha, aff, balanced=True).kappa_in if alpha < alpha_b else 0.0
    scaled_out = kappa_0(alpha, aff) if alpha >= alpha_b and aff.f_exc < 1 else math.nan
    return best.kappa_in, best.side.imbalance, scaled, balanced, scaled_out


def margins(alpha: ArrayLike, aff: Afferents) -> dict[str, NDArray]:
    """Margins over loads as N -> infinity, each of alpha's shape; NaN if no solution exists.

    kappa_in: largest tolerated input noise (units of activity); imbalance: IB of that solution;
    kappa_out_of_kappa_in: its output margin times sqrt(N) (infinite if it is balanced); kappa_out: largest output
    margin per unit of norm Gamma (0 above alpha_b); kappa_0: it in units of CV_E/sqrt(N) above alpha_b, NaN below.
    """
    alpha = np.asarray(alpha, float)
    columns = np.array([_margins(float(a), aff) for a in alpha.ravel()]).reshape(-1, len(MARGIN_FIELDS))
    return {name: columns[:, i].reshape(alpha.shape) for i, name in enumerate(MARGIN_FIELDS)}
