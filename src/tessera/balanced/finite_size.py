"""Corrections of order 1/sqrt(N) to the margins, and the predicted distribution of weights.

The limit N -> infinity drops |u| Delta from the mean constraint; keeping it gives, with u_i = sigma_i w_i,

    (*)   tt = CV_E (1 - |u| Delta) / (sqrt(N) |u|)

which is exact for Gaussian or symmetric inputs. Third moments of the inputs enter at the same order and are left out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr

from tessera.balanced.theory import (
    Afferents,
    MarginSolution,
    WeightSide,
    first,
    pattern_moment,
    pattern_threshold,
    root,
    second,
    tail,
    weight_side,
)


@dataclass(frozen=True)
class FiniteSolution:
    """A solution at finite N, threshold 1: kappa_out, |w|, and |u| with u_i = sigma_i w_i."""

    kappa_out: float
    norm: float
    scaled_norm: float
    side: WeightSide

    @property
    def kappa_in(self) -> float:
        return self.kappa_out / self.norm


def of_max_kappa_in(solution: MarginSolution, aff: Afferents, n: int) -> FiniteSolution:
    """Norm and output margin at N = n of an unbalanced max-kappa_in solution.

    1/|u| = sqrt(N) tt/CV_E + Delta(kappa). Raises ValueError for a balanced solution, whose norm the limit leaves open.
    """
    if solution.balanced:
        raise ValueError(f"alpha: {solution.alpha}: the max-kappa_in solution is balanced, its norm is not determined")
    inverse = math.sqrt(n) * solution.side.tilt / aff.cv_exc + pattern_threshold(solution.kappa, aff.p_out)
    if inverse <= 0:
        raise ValueError(f"n: {n} is too small for alpha = {solution.alpha}: the mean constraint has no solution")
    u = 1 / inverse
    return FiniteSolution(solution.kappa * u, u / (math.sqrt(solution.side.stretch) * aff.sd_exc), u, solution.side)


def _margin_at(alpha: float, aff: Afferents, n: int, norm: float, ratio: float, multiplier: float) -> FiniteSolution:
    """|u| kappa for given r = Z_I/Z_E and B, with D from (*) and kappa from alpha m(kappa, D) = s^2."""
    f, phi, b = aff.f_exc, aff.cv_ratio, multiplier
    side = weight_side(aff, b, 1.0, ratio)
    u = math.sqrt(side.stretch) * aff.sd_exc * norm
    delta = (1 - side.tilt * math.sqrt(n) * u / aff.cv_exc) / u
    exc = f * (second(b) + b * first(b))
    inh = (1 - f) * ratio * (second(-b * phi) - b * phi * first(-b * phi))
    s = (exc + inh) / math.sqrt(side.a + side.b)
    if s <= 0:
        return FiniteSolution(-math.inf, norm, u, side)
    low, high = -abs(delta) - 10.0, 10.0
    while alpha * pattern_moment(low, delta, aff.p_out) > s * s:
        low *= 2
    while alpha * pattern_moment(high, delta, aff.p_out) < s * s:
        high *= 2
    kappa = root(lambda k: alpha * pattern_moment(k, delta, aff.p_out) - s * s, low, high)
    return FiniteSolution(u * kappa, norm, u, side)


def _multiplier_of(delta: float, aff: Afferents, n: int, norm: float, ratio: float) -> float:
    """B from (*) at threshold D; the tilt falls with B from sqrt(f) to -sqrt(1-f)."""

    def excess(b: float) -> float:
        side = weight_side(aff, b, 1.0, ratio)
        u = math.sqrt(side.stretch) * aff.sd_exc * norm
        return side.tilt - aff.cv_exc * (1 / u - delta) / math.sqrt(n)

    reach = 35 / max(1.0, aff.cv_ratio)
    low, high = excess(-reach), excess(reach)
    if low * high > 0:
        return reach if low > 0 else -reach
    return root(excess, -reach, reach)


def of_max_kappa_out(alpha: float, aff: Afferents, n: int, norm: float) -> FiniteSolution:
    """The largest kappa_out with |w| <= norm at N = n, at any load: V_N(c) at the best c <= norm, usually the norm.

    V_N(c) is the largest over r = Z_I/Z_E, between 1 and lambda^2, and the threshold D. It is negative where no weights
    separate. Raises ValueError outside 0 < f_exc < 1, alpha > 0, norm > 0, n >= 1.
    """
    if not 0 < aff.f_exc < 1:
        raise ValueError(f"f_exc: {aff.f_exc}: the finite-N value needs both types, 0 < f_exc < 1")
    for name, value in (("alpha", alpha), ("norm", norm), ("n", n)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: {value} is not a positive number")

    def at(x: Sequence[float]) -> FiniteSolution:
        delta, ratio, c = float(x[0]), math.exp(x[1]), math.exp(x[2])
        return _margin_at(alpha, aff, n, c, ratio, _multiplier_of(delta, aff, n, c, ratio))

    # Smooth maxima, first in D and log r at the norm, then, where V falls there, in log c as well.
    centre = pattern_threshold(0.0, aff.p_out)
    low, high = sorted((0.0, 2 * math.log(aff.sd_ratio)))
    bounds = [(centre - 8, centre + 8), (low, high)]
    point = _argmax(lambda x: at([*x, math.log(norm)]).kappa_out / norm, [centre, (low + high) / 2], bounds)
    point = [*point, math.log(norm)]
    if at([*point[:2], point[2] - 1e-4]).kappa_out > at(point).kappa_out:
        point = _argmax(lambda x: at(x).kappa_out, point, [*bounds, (point[2] - 16, point[2])])
    return at(point)


def _argmax(
    function: Callable[[Sequence[float]], float], start: Sequence[float], bounds: Sequence[tuple[float, float]]
) -> list[float]:
    """Position of the only maximum of a smooth function within bounds."""
    options = {"ftol": 1e-14, "gtol": 1e-9, "eps": 1e-6}
    optimum = minimize(lambda x: -function(x), start, method="L-BFGS-B", bounds=bounds, options=options)
    return [float(x) for x in optimum.x]


def critical_balanced_load(aff: Afferents, n: int) -> float:
    """Largest load with a balanced solution at N = n; it tends to alpha_b.

    The norm grows without bound, so (*) becomes tt = -CV_E D/sqrt(N), and with kappa = 0 the load is s^2/m(0, D) at the
    best D. Raises ValueError outside 0 < f_exc < 1, n >= 1.
    """
    if not (0 < aff.f_exc < 1 and n >= 1):
        raise ValueError(f"f_exc: {aff.f_exc}, n: {n}; expected 0 < f_exc < 1 and n >= 1")
    f, phi = aff.f_exc, aff.cv_ratio
    reach = 35 / max(1.0, phi)

    def load(delta: float) -> float:
        tilt = -aff.cv_exc * delta / math.sqrt(n)
        b = root(lambda b: weight_side(aff, b).tilt - tilt, -reach, reach)
        side = weight_side(aff, b)
        work = f * (second(b) + b * first(b)) + (1 - f) * (second(-b * phi) - b * phi * first(-b * phi))
        return work**2 / (side.a + side.b) / pattern_moment(0.0, delta, aff.p_out)

    # Beyond these no weights have so large a net input, of either sign.
    widest = 0.999 * math.sqrt(n) / aff.cv_exc
    centre = pattern_threshold(0.0, aff.p_out)
    bounds = max(centre - 3, -widest * math.sqrt(f)), min(centre + 3, widest * math.sqrt(1 - f))
    optimum = minimize_scalar(lambda delta: -load(delta), bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return -float(optimum.fun)


def margins(alpha: ArrayLike, aff: Afferents, n: int, norm: float) -> NDArray:
    """Largest kappa_out at |w| <= norm and N = n, of alpha's shape."""
    return np.vectorize(lambda a: of_max_kappa_out(float(a), aff, n, norm).kappa_out, otypes=[float])(alpha)


@dataclass(frozen=True)
class WeightLaw:
    """Law of g_i w_i of one type: scale [zeta - shift]_+, zeta ~ N(0, 1), with an atom at zero of mass `silent`."""

    scale: float
    shift: float

    @property
    def silent(self) -> float:
        return tail(-self.shift)

    def cdf(self, weight: ArrayLike) -> NDArray:
        """Probability that g_i w_i is at most weight >= 0; at 0 it is the atom's."""
        return ndtr(np.asarray(weight, float) / self.scale + self.shift)

    def density(self, weight: ArrayLike) -> NDArray:
        """Density of positive g_i w_i; it integrates to 1 - silent."""
        z = np.asarray(weight, float) / self.scale + self.shift
        return np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi) / self.scale


def weight_laws(solution: FiniteSolution, aff: Afferents, n: int) -> tuple[WeightLaw, WeightLaw]:
    """Laws of excitatory and inhibitory g_i w_i = |u| Z_i [zeta - s_i B m_i]_+ / (sigma_i sqrt(N (a + b)))."""
    side = solution.side
    unit = solution.scaled_norm / (aff.sd_exc * math.sqrt(n * (side.a + side.b)))
    return (
        WeightLaw(unit * side.z_exc, side.multiplier),
        WeightLaw(unit * side.z_inh / aff.sd_ratio, -side.multiplier * aff.cv_ratio),
    )
