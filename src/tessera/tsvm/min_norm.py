"""The point of least norm in a convex hull, by Wolfe's method (1976, Math. Programming 11, 128), warm-started.

Given rows q_j, it minimises |sum_j p_j q_j| over p >= 0, sum p = 1. That is the normalised dual of the maximal margin:
the optimum is kappa, every p is an upper bound on it, and 0 in the hull is Farkas' proof that no margin exists. Wolfe's
method walks over affinely independent subsets, so it ends after finitely many steps at the exact answer; a new row only
adds a point, and the walk continues from the old optimum. The QR factors of the subset's rows (1, q_j) are updated,
not recomputed: O(k n) per step for k rows of n numbers. Factors of their Gram matrix would be cheaper, but see only
half the digits: if kappa is small, rows that differ by 1e-7 of their length must be distinguished.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


class Hull:
    """Rows (m, n) and the weights p (m,) of the optimum so far."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 0))
        self.size = 0
        self.p = np.empty(0)

    @property
    def rows(self) -> np.ndarray:
        return self._rows[: self.size]

    def add(self, rows: np.ndarray) -> None:
        """Append rows (k, n); n may have grown since, older rows have zeros there."""
        size, (k, n) = self.size, rows.shape
        if size + k > self._rows.shape[0] or n > self._rows.shape[1]:
            grown = np.zeros((max(64, 2 * (size + k)), n))
            grown[:size, : self._rows.shape[1]] = self.rows
            self._rows = grown
        self._rows[size : size + k] = rows
        self.size = size + k
        self.p = np.concatenate([self.p, np.zeros(k)])

    def solve(self, max_steps: int = 100_000) -> np.ndarray:
        """Return the weights p (m,) of the least norm over the rows so far."""
        if not self.p.any():
            self.p[np.argmin((self.rows**2).sum(axis=1))] = 1.0
        self.p = _wolfe(self.rows, self.p, max_steps)
        return self.p


@njit(cache=True, error_model="numpy")
def _back(factor, k, b, x):
    """Solve R x = b, R upper triangular k by k."""
    for i in range(k - 1, -1, -1):
        total = b[i]
        for j in range(i + 1, k):
            total -= factor[i, j] * x[j]
        x[i] = total / factor[i, i]


@njit(cache=True, error_model="numpy")
def _forward(factor, k, b, x):
    """Solve R^T x = b."""
    for i in range(k):
        x[i] = b[i]
    for i in range(k):
        x[i] /= factor[i, i]
        value = x[i]
        for j in range(i + 1, k):
            x[j] -= factor[i, j] * value


@njit(cache=True, error_model="numpy")
def _append(row, shift, k, basis, factor, work, column):
    """Put a row into the factors, rows = factor^T basis; False if it depends affinely on the rows in them."""
    n = len(row)
    work[0] = shift
    work[1 : n + 1] = row
    whole = np.sqrt(np.dot(work, work))
    column[:k] = 0.0
    for _ in range(2):  # once more for the digits that the first pass leaves
        part = np.dot(basis[:k], work)
        work -= np.dot(part, basis[:k])
        column[:k] += part
    left = np.sqrt(np.dot(work, work))
    if left <= 1e-13 * whole:
        return False
    factor[:k, k] = column[:k]
    factor[k, k] = left
    basis[k] = work / left
    return True


@njit(cache=True, error_model="numpy")
def _remove(factor, basis, subset, k, i):
    """Take member i out: shift the columns left and rotate the factor to a triangle again."""
    for j in range(i, k - 1):
        subset[j] = subset[j + 1]
        for a in range(j + 2):
            factor[a, j] = factor[a, j + 1]
    for j in range(i, k - 1):
        x, y = factor[j, j], factor[j + 1, j]
        size = np.hypot(x, y)
        c, s = x / size, y / size
        for b in range(j, k - 1):
            up, down = factor[j, b], factor[j + 1, b]
            factor[j, b] = c * up + s * down
            factor[j + 1, b] = -s * up + c * down
        for b in range(basis.shape[1]):
            up, down = basis[j, b], basis[j + 1, b]
            basis[j, b] = c * up + s * down
            basis[j + 1, b] = -s * up + c * down


@njit(cache=True, error_model="numpy")
def _affine(factor, k, work, v, column):
    """Weights, of sum 1, of the least norm in the affine hull: R^T R v = 1, scaled, with one refinement."""
    column[:k] = 1.0
    _forward(factor, k, column, work)
    _back(factor, k, work, v)
    for i in range(k):
        work[i] = 0.0
        for j in range(i, k):
            work[i] += factor[i, j] * v[j]
    for i in range(k):
        total = 1.0
        for j in range(i + 1):
            total -= factor[j, i] * work[j]
        column[i] = total
    _forward(factor, k, column, work)
    _back(factor, k, work, column)
    total = 0.0
    for i in range(k):
        v[i] += column[i]
        total += v[i]
    for i in range(k):
        v[i] /= total


class _Corral(NamedTuple):
    """Wolfe's corral: k affinely independent rows that carry the optimum, their QR factors, and scratch space."""

    subset: np.ndarray
    """Indices of the members, in the order of the factors."""
    weights: np.ndarray
    """Weights of the members."""
    inside: np.ndarray
    """Whether a row (m,) is a member."""
    factor: np.ndarray
    basis: np.ndarray
    whole: np.ndarray
    work: np.ndarray
    column: np.ndarray
    v: np.ndarray


@njit(cache=True, error_model="numpy")
def _shift(rows):
    """What stands before every row in the factors. Any shift > 0 gives the same weights.

    Rows next to a target are long; a shift of their size would drown the short.
    """
    lengths = np.empty(len(rows))
    for j in range(len(rows)):
        lengths[j] = np.sqrt(np.dot(rows[j], rows[j]))
    shift = max(lengths.min(), 1e-5 * lengths.max())
    return shift if shift > 0.0 else 1.0


@njit(cache=True, error_model="numpy")
def _warm_start(corral, rows, shift, p):
    """Make members of the rows with weight that are affinely independent; return how many."""
    k = 0
    for j in range(len(rows)):
        if p[j] == 0.0 or k == len(corral.subset) - 1:
            continue
        if _append(rows[j], shift, k, corral.basis, corral.factor, corral.whole, corral.column):
            corral.subset[k], corral.weights[k], corral.inside[j] = j, p[j], True
            k += 1
    corral.weights[:k] /= corral.weights[:k].sum()
    return k


@njit(cache=True, error_model="numpy")
def _first_to_vanish(weights, v, k):
    """The member whose weight vanishes first on the way to v, -1 if none does, and the share of the way to there."""
    share, out = 1.0, -1
    for i in range(k):
        if v[i] <= 0.0 and k > 1:
            ratio = weights[i] / (weights[i] - v[i]) if weights[i] > v[i] else 0.0
            if ratio < share or out < 0:
                share, out = ratio, i
    return out, share


@njit(cache=True, error_model="numpy")
def _minor_cycles(corral, k):
    """Go to the affine optimum, dropping every member whose weight would turn negative; return how many are left."""
    weights, v = corral.weights, corral.v
    while True:
        _affine(corral.factor, k, corral.work, v, corral.column)
        out, share = _first_to_vanish(weights, v, k)
        if out < 0:
            weights[:k] = v[:k]
            return k
        for i in range(k):
            weights[i] += share * (v[i] - weights[i])
        corral.inside[corral.subset[out]] = False
        _remove(corral.factor, corral.basis, corral.subset, k, out)
        for i in range(out, k - 1):
            weights[i] = weights[i + 1]
        k -= 1


@njit(cache=True, error_model="numpy")
def _point(corral, k, rows):
    """The weighted sum of the members (n,)."""
    point = np.zeros(rows.shape[1])
    for i in range(k):
        point += corral.weights[i] * rows[corral.subset[i]]
    return point


@njit(cache=True, error_model="numpy")
def _enter(corral, k, rows, shift, products, bound, refused):
    """Make a member of the row of least product below the bound that the factors take; False if there is none.

    Rows that were tried are refused until the norm has fallen.
    """
    if k >= len(corral.subset) - 1:
        return False
    while True:
        j, lowest = -1, bound
        for i in range(len(rows)):
            if not corral.inside[i] and not refused[i] and products[i] < lowest:
                lowest, j = products[i], i
        if j < 0:
            return False
        refused[j] = True
        if _append(rows[j], shift, k, corral.basis, corral.factor, corral.whole, corral.column):
            corral.subset[k], corral.weights[k], corral.inside[j] = j, 0.0, True
            return True


@njit(cache=True, error_model="numpy")
def _wolfe(rows, p, max_steps):
    """The weights (m,) of the least norm over rows (m, n), from weights p on."""
    m, n = rows.shape
    most = min(m, n + 1) + 1
    corral = _Corral(
        np.empty(most, dtype=np.int64),
        np.zeros(most),
        np.zeros(m, dtype=np.bool_),
        np.zeros((most, most)),
        np.zeros((most, n + 1)),
        np.empty(n + 1),
        np.empty(most),
        np.empty(most),
        np.empty(most),
    )
    shift, refused = _shift(rows), np.zeros(m, dtype=np.bool_)
    k = _warm_start(corral, rows, shift, p)
    best, answer = np.inf, p.copy()
    for _ in range(max_steps):
        k = _minor_cycles(corral, k)
        point = _point(corral, k, rows)
        norm2 = np.dot(point, point)
        if norm2 > best * (1.0 + 1e-12):
            return answer  # rounding has the better of it
        answer[:] = 0.0
        for i in range(k):
            answer[corral.subset[i]] = max(corral.weights[i], 0.0)
        # A row far below the norm may lower it by less than rounding: long rows, small norm. It may still enter, once.
        if norm2 < best * (1.0 - 1e-13):
            refused[:] = False
        best = min(best, norm2)
        if not _enter(corral, k, rows, shift, np.dot(rows, point), norm2 * (1.0 - 1e-10), refused):
            return answer
        k += 1
    return answer
