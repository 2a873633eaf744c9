"""Zeros and minima of finite sums of exponentials, f(s) = constant + sum_k c_k exp(r_k s) on 0 <= s <= length.

A sum of n exponentials with distinct rates has at most n - 1 zeros. They are isolated without a grid: divide by the
slowest exponential and differentiate, which leaves n - 1 terms; between the zeros of those the sum is monotone and
holds at most one zero, found by bisection with Newton steps. Only signs decide, so every level may be scaled by a
positive factor. Two terms are solved in closed form. Coefficients of equal rates must be joined beforehand.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def _value(c: np.ndarray, r: np.ndarray, first: int, s: float) -> float:
    """Sum of the terms from `first` on, divided by the exponential of term `first`: same sign, no overflow."""
    total = 0.0
    for k in range(first, len(c)):
        total += c[k] * math.exp((r[k] - r[first]) * s)
    return total


@njit(cache=True, error_model="numpy")
def _zero(c: np.ndarray, r: np.ndarray, first: int, low: float, high: float, f_low: float) -> float:
    """The zero in (low, high) of a monotone sum that changes sign: Newton steps inside a shrinking bracket."""
    s = 0.5 * (low + high)
    for _ in range(100):
        value = slope = 0.0
        for k in range(first, len(c)):
            term = c[k] * math.exp((r[k] - r[first]) * s)
            value += term
            slope += (r[k] - r[first]) * term
        if value == 0.0:
            return s
        if (value > 0.0) == (f_low > 0.0):
            low = s
        else:
            high = s
        step = s - value / slope if slope != 0.0 else low
        s_next = step if low < step < high else 0.5 * (low + high)
        if abs(s_next - s) <= 1e-15 * (1.0 + abs(s)) or high - low <= 1e-15 * (1.0 + high):
            return s_next
        s = s_next
    return s


@njit(cache=True, error_model="numpy")
def zeros(c: np.ndarray, r: np.ndarray, length: float, roots: np.ndarray) -> int:
    """Write the zeros of sum_k c_k exp(r_k s) in (0, length) into `roots` and return their number.

    c, r (n,): coefficients and strictly ascending rates; roots (n,) is overwritten. c is not changed.
    """
    n = len(c)
    levels = np.zeros((n, n))
    levels[0] = c
    for j in range(n - 1):
        for k in range(j + 1, n):
            levels[j + 1, k] = levels[j, k] * (r[k] - r[j])
    count = 0
    edges = np.empty(n + 2)
    for j in range(n - 2, -1, -1):
        if j == n - 2:
            a, b = levels[j, n - 2], levels[j, n - 1]
            count = 0
            if a * b < 0.0:
                s = math.log(-a / b) / (r[n - 1] - r[n - 2])
                if 0.0 < s < length:
                    roots[0] = s
                    count = 1
            continue
        edges[0] = 0.0
        for i in range(count):
            edges[i + 1] = roots[i]
        edges[count + 1] = length
        new = 0
        f_low = _value(levels[j], r, j, 0.0)
        for i in range(count + 1):
            f_high = _value(levels[j], r, j, edges[i + 1])
            if f_low * f_high < 0.0:
                roots[new] = _zero(levels[j], r, j, edges[i], edges[i + 1], f_low)
                new += 1
            elif f_high == 0.0 and edges[i + 1] < length:
                roots[new] = edges[i + 1]
                new += 1
            f_low = f_high
        count = new
    return count


@njit(cache=True, error_model="numpy")
def total(constant: float, c: np.ndarray, r: np.ndarray, s: float, origin: float = -1.0) -> float:
    """f(s); with an origin >= 0, f(s) - f(origin), to the digits of the difference."""
    if origin >= 0.0:
        value = 0.0
        for k in range(len(c)):
            value += c[k] * math.exp(r[k] * origin) * math.expm1(r[k] * (s - origin))
        return value
    value = constant
    for k in range(len(c)):
        value += c[k] * math.exp(r[k] * s)
    return value


@njit(cache=True, error_model="numpy")
def lower_bound(constant: float, c: np.ndarray, r: np.ndarray, start: float, end: float, origin: float = -1.0) -> float:
    """A number that `total` does not go below on [start, end]: every term is monotone, so take its lower end."""
    if origin >= 0.0:
        value = 0.0
        for k in range(len(c)):
            size = c[k] * math.exp(r[k] * origin)
            value += min(size * math.expm1(r[k] * (start - origin)), size * math.expm1(r[k] * (end - origin)))
        return value
    value = constant
    for k in range(len(c)):
        value += min(c[k] * math.exp(r[k] * start), c[k] * math.exp(r[k] * end))
    return value


@njit(cache=True, error_model="numpy")
def minimum(
    constant: float, c: np.ndarray, r: np.ndarray, start: float, end: float, work: np.ndarray, origin: float = -1.0
) -> tuple[float, float]:
    """Smallest `total` on [start, end], and where: an end or a zero of the derivative. work (2, n) is overwritten."""
    slopes, roots = work[0], work[1]
    for k in range(len(c)):
        slopes[k] = c[k] * r[k]
    best, at = total(constant, c, r, start, origin), start
    value = total(constant, c, r, end, origin)
    if value < best:
        best, at = value, end
    for i in range(zeros(slopes, r, end, roots)):
        s = roots[i]
        if start < s < end:
            value = total(constant, c, r, s, origin)
            if value < best:
                best, at = value, s
    return best, at


@njit(cache=True, error_model="numpy")
def first_crossing(constant: float, c: np.ndarray, r: np.ndarray, start: float, end: float, work: np.ndarray) -> float:
    """First s in (start, end] at which f, below 0 before, reaches 0; -1 if it does not. work (2, n)."""
    slopes, roots = work[0], work[1]
    for k in range(len(c)):
        slopes[k] = c[k] * r[k]
    count = zeros(slopes, r, end, roots)
    low = start
    for i in range(count + 1):
        high = roots[i] if i < count else end
        if high <= low:
            continue
        if total(constant, c, r, high) >= 0.0:
            if total(constant, c, r, low) >= 0.0:
                return low
            below, above = low, high
            for _ in range(200):
                middle = 0.5 * (below + above)
                if middle in (below, above):
                    break
                if total(constant, c, r, middle) >= 0.0:
                    above = middle
                else:
                    below = middle
            return above
        low = high
    return -1.0
