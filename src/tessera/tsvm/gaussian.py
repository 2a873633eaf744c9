"""The potential of Gaussian kernels between events, and its worst row by bounded bisection.

exp(-|x - x_j|^2 / 2 sigma^2) is not a finite sum of exponentials in time. So each piece is halved until a bound
decides: on an interval with midpoint m and half-width r

    f(s) >= f(m) - |f'(m)| r - M r^2 / 2,     M >= |f''|,
    |V''| <= |w| (sqrt(3) |xdot|^2 / sigma^2 + |xddot| / sigma),

because the second derivative of the feature map along u has norm sqrt(3) |u|^2 / sigma^2 and the first |u| / sigma. An
interval is given up once its bound is above 0, or above the best value found, or the two are ACCURACY times g apart; so
the rows are proved to be at least the answer less ACCURACY.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tessera.tsvm.kernels import Expansion, Gaussian
from tessera.tsvm.layout import Layout
from tessera.tsvm.margin import Scan

#: To how much of h the search is carried on.
ACCURACY = 1e-8


class GaussianPotential:
    """w.phi of a Gaussian kernel, or of a sum of them over groups of afferents; norm is |w|."""

    def __init__(self, layout: Layout, kernel: Gaussian, groups: list[list[int]], w: Expansion, norm: float,
                 slow: np.ndarray, fast: np.ndarray) -> None:  # fmt: skip
        self.layout, self.norm, self.sigma = layout, norm, kernel.sigma
        # Centring adds one atom at rest: k(x_j, x) - k(0, x), and constants.
        values = np.append(w.values, -w.values.sum())
        derivs = np.append(w.derivs, 0.0)
        x, u = (np.vstack([part, np.zeros((1, part.shape[1]))]) for part in (w.x, w.u))
        self._values, self._derivs = values, derivs
        self.rounding = 1e-15 * float(np.abs(values).sum())  # each of the atoms is of length 1 and may cancel another
        parts = [(x[:, g], u[:, g], slow[:, g], fast[:, g]) for g in groups]
        self._products = np.ascontiguousarray(
            [[a @ px.T, b @ px.T, a @ pu.T, b @ pu.T] for px, pu, a, b in parts]
        ).transpose(0, 2, 3, 1)  # branch, piece, atom, product
        self._products = np.ascontiguousarray(self._products)
        self._squares = np.ascontiguousarray(
            [[(a * a).sum(1), (a * b).sum(1), (b * b).sum(1)] for _, _, a, b in parts]
        ).transpose(0, 2, 1)
        self._squares = np.ascontiguousarray(self._squares)
        self._atom_squares = (
            np.array([[(px * px).sum(1), (px * pu).sum(1)] for px, pu, _, _ in parts]).transpose(0, 2, 1).copy()
        )
        rest = np.exp(-self._atom_squares[:, :, 0] / (2 * self.sigma**2))
        self._constant = -float((rest * (values + derivs * -self._atom_squares[:, :, 1] / self.sigma**2)).sum())

    def _arguments(self):
        k = self.layout.kernel
        return (self._values, self._derivs, self._products, self._squares, self._atom_squares, self._constant,
                self.sigma, k.tau_m, k.tau_s)  # fmt: skip

    def scan(self, theta: float, level: np.ndarray, hold_level: np.ndarray) -> Scan:
        a = self.layout
        return Scan(
            *_scan_all(*self._arguments(), self.norm, theta, level, hold_level, a.tau_c, a.length, a.reset, a.gain,
                       a.gamma, a.guard, a.origin, a.held, a.hold_reset, a.margin_time, a.exact)
        )  # fmt: skip

    def values(self, patterns: np.ndarray, times: np.ndarray) -> np.ndarray:
        return self._evaluate(patterns, times)[:, 0]

    def slopes(self, patterns: np.ndarray, times: np.ndarray) -> np.ndarray:
        return self._evaluate(patterns, times)[:, 1]

    def _evaluate(self, patterns: np.ndarray, times: np.ndarray) -> np.ndarray:
        pieces = self.layout.pieces_of(patterns, times)
        s = np.asarray(times, dtype=float) - self.layout.start[pieces]
        return _at(*self._arguments(), pieces, s)


@njit(cache=True, error_model="numpy")
def _potential(values, derivs, products, squares, atom_squares, constant, sigma, tau_m, tau_s, e, s):
    """V and V' at s in piece e."""
    y1, y2 = math.exp(-s / tau_m), math.exp(-s / tau_s)
    z1, z2 = -y1 / tau_m, -y2 / tau_s
    total, slope, inverse = constant, 0.0, 1.0 / sigma**2
    for b in range(products.shape[0]):
        aa, ab, bb = squares[b, e, 0], squares[b, e, 1], squares[b, e, 2]
        xx = aa * y1 * y1 + 2.0 * ab * y1 * y2 + bb * y2 * y2
        xv = aa * y1 * z1 + ab * (y1 * z2 + y2 * z1) + bb * y2 * z2
        for j in range(products.shape[2]):
            p = products[b, e, j]
            xj = p[0] * y1 + p[1] * y2
            vj = p[0] * z1 + p[1] * z2
            gamma = math.exp(-0.5 * inverse * max(xx + atom_squares[b, j, 0] - 2.0 * xj, 0.0))
            rise = gamma * (vj - xv) * inverse
            total += values[j] * gamma
            slope += values[j] * rise
            if derivs[j] != 0.0:
                along = (p[2] * y1 + p[3] * y2 - atom_squares[b, j, 1]) * inverse
                total += derivs[j] * gamma * along
                slope += derivs[j] * (rise * along + gamma * (p[2] * z1 + p[3] * z2) * inverse)
    return total, slope


@njit(cache=True, error_model="numpy")
def _rise(values, derivs, products, squares, atom_squares, constant, sigma, tau_m, tau_s, e, s, origin):
    """V(s) - V(origin) in piece e, to the digits of the difference."""
    y1, y2 = math.exp(-origin / tau_m), math.exp(-origin / tau_s)
    z1, z2 = y1 * math.expm1((origin - s) / tau_m), y2 * math.expm1((origin - s) / tau_s)  # what they change by
    total, inverse = 0.0, 1.0 / sigma**2
    for b in range(products.shape[0]):
        aa, ab, bb = squares[b, e, 0], squares[b, e, 1], squares[b, e, 2]
        xx = aa * y1 * y1 + 2.0 * ab * y1 * y2 + bb * y2 * y2
        more = aa * z1 * (2.0 * y1 + z1) + 2.0 * ab * (y1 * z2 + z1 * y2 + z1 * z2) + bb * z2 * (2.0 * y2 + z2)
        for j in range(products.shape[2]):
            p = products[b, e, j]
            gamma = math.exp(-0.5 * inverse * max(xx + atom_squares[b, j, 0] - 2.0 * (p[0] * y1 + p[1] * y2), 0.0))
            exponent = inverse * (p[0] * z1 + p[1] * z2 - 0.5 * more)
            grown = gamma * (math.expm1(exponent) if exponent < 1.0 else math.exp(exponent) - 1.0)
            total += values[j] * grown
            if derivs[j] != 0.0:
                along = (p[2] * y1 + p[3] * y2 - atom_squares[b, j, 1]) * inverse
                total += derivs[j] * (grown * along + (gamma + grown) * (p[2] * z1 + p[3] * z2) * inverse)
    return total


@njit(cache=True, error_model="numpy")
def _at(values, derivs, products, squares, atom_squares, constant, sigma, tau_m, tau_s, pieces, s):
    out = np.empty((len(s), 2))
    for i in range(len(s)):
        out[i] = _potential(
            values, derivs, products, squares, atom_squares, constant, sigma, tau_m, tau_s, pieces[i], s[i]
        )
    return out


@njit(cache=True, error_model="numpy")
def _curvature(squares, sigma, tau_m, tau_s, norm, e, low, high):
    """Bound on |V''| over [low, high] of piece e."""
    speed2 = jolt2 = 0.0
    y1, y2 = math.exp(-low / tau_m), math.exp(-low / tau_s)
    for b in range(squares.shape[0]):
        aa, ab, bb = squares[b, e, 0], squares[b, e, 1], squares[b, e, 2]
        z1, z2 = y1 / tau_m, y2 / tau_s
        speed = math.sqrt(max(aa * z1 * z1 + 2.0 * ab * z1 * z2 + bb * z2 * z2, 0.0))
        jolt = math.sqrt(aa) * z1 / tau_m + math.sqrt(bb) * z2 / tau_s
        speed2 += (speed + (high - low) * jolt) ** 2
        jolt2 += jolt * jolt
    return norm * (math.sqrt(3.0) * speed2 / sigma**2 + math.sqrt(jolt2) / sigma)


@njit(cache=True, error_model="numpy")
def _search(args, norm, theta, level, sign, offset, gain, gamma, reset, origin, tau_c, e, low, high):
    """Least f below 0 on [low, high], and where; f = sign (theta (1 + reset y) - V) - level g.

    Before a target sign = 1 and g = gain (1 - gamma exp(s/tau_c)); in a hold window sign = -1 and
    g = 1 - exp(-(offset + s)/tau_c). origin: where a target is, at which f = 0, to measure from; -1 if none.
    """
    values, derivs, products, squares, atom_squares, constant, sigma, tau_m, tau_s = args
    lows, highs = np.empty(200), np.empty(200)
    lows[0], highs[0] = low, high
    depth, best, at = 1, 0.0, -1.0
    while depth > 0:
        depth -= 1
        a, b = lows[depth], highs[depth]
        m, r = 0.5 * (a + b), 0.5 * (b - a)
        v, dv = _potential(values, derivs, products, squares, atom_squares, constant, sigma, tau_m, tau_s, e, m)
        y = reset * math.exp(-m / tau_m)
        if sign > 0:
            grown = gamma * math.exp(m / tau_c)
            g = -gain * math.expm1((m - origin) / tau_c) if origin >= 0.0 else gain * (1.0 - grown)
            dg = -gain * grown / tau_c
            bend = gain * gamma * math.exp(b / tau_c) / tau_c**2
            smallest = gain * (1.0 - gamma * math.exp(b / tau_c))
        else:
            left = math.exp(-(offset + m) / tau_c)
            g, dg = -math.expm1(-(offset + m) / tau_c), left / tau_c
            bend = math.exp(-(offset + a) / tau_c) / tau_c**2
            smallest = 1.0 - math.exp(-(offset + a) / tau_c)
        f = sign * (theta * (1.0 + y) - v) - level * g
        if origin >= 0.0:
            fallen = reset * math.exp(-origin / tau_m) * math.expm1((origin - m) / tau_m)
            f = sign * (theta * fallen - _rise(*args, e, m, origin)) - level * g
        df = sign * (-theta * y / tau_m - dv) - level * dg
        if f < best:
            best, at = f, m
        curvature = _curvature(squares, sigma, tau_m, tau_s, norm, e, a, b)
        curvature += theta * reset * math.exp(-a / tau_m) / tau_m**2 + abs(level) * bend
        bound = f - abs(df) * r - 0.5 * curvature * r * r
        if bound >= best - ACCURACY * max(smallest, 1e-7) or r < 1e-9 or depth > 190:
            continue
        # The half where f falls comes last, to be looked at first: a low value found early spares the other half.
        first, second = (a, m), (m, b)
        if df > 0:
            first, second = second, first
        lows[depth], highs[depth] = first
        lows[depth + 1], highs[depth + 1] = second
        depth += 2
    return best, at


@njit(cache=True, error_model="numpy")
def _scan_all(values, derivs, products, squares, atom_squares, constant, sigma, tau_m, tau_s, norm, theta, level,
              hold_level, tau_c, length, reset, gain, gamma, guard, origin, held, hold_reset, margin_time,
              exact):  # fmt: skip
    n = len(length)
    args = (values, derivs, products, squares, atom_squares, constant, sigma, tau_m, tau_s)
    h, s = np.full(n, np.inf), np.zeros(n)
    hold_h, hold_s = np.full(n, np.inf), np.zeros(n)
    for e in range(n):
        if guard[e] > 0.0:
            f, at = _search(args, norm, theta, level[e], 1.0, 0.0, gain[e], gamma[e], reset[e], origin[e], tau_c, e,
                            0.0, guard[e])  # fmt: skip
            if at >= 0.0:
                ahead = (at - origin[e]) / tau_c if origin[e] >= 0.0 else at / tau_c + math.log(gamma[e])
                h[e], s[e] = (
                    level[e] - f / (gain[e] * math.expm1(ahead)) if gamma[e] > 0.0 else level[e] + f / gain[e],
                    at,
                )
        if held[e] >= 0.0:
            start = max(0.0, margin_time - held[e])
            if start < length[e]:
                begin = 0.0 if exact and held[e] == 0.0 else -1.0
                f, at = _search(args, norm, theta, hold_level[e], -1.0, held[e], 1.0, 0.0, hold_reset[e], begin, tau_c,
                                e, start, length[e])  # fmt: skip
                if at >= 0.0:
                    hold_h[e], hold_s[e] = hold_level[e] - f / math.expm1(-(held[e] + at) / tau_c), at
    return h, s, hold_h, hold_s
