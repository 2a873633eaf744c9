"""The point of least norm in a convex hull, by Wolfe's method (1976, Math. Programming 11, 128), warm-started.

Given rows q_j, it minimises |sum_j p_j q_j| over p >= 0, sum p = 1. That is the normalised dual of the maximal margin:
the optimum is kappa, every p is an upper bound on it, and 0 in the hull is Farkas' proof that no margin exists. Wolfe's
method walks over affinely independent subsets, so it ends after finitely many steps at the exact answer; a new row only
adds a point, and the walk continues from the old optimum. The QR factors of the subset's rows (1, q_j) are updated,
not recomputed: O(k n) per step for k rows of n numbers. Factors of their Gram matrix would be cheaper, but see only
half the digits: if kappa is small, rows that differ by 1e-7 of their length must be distinguished.
"""

from __future__ import annotations

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


@njit(cache=True, error_model="numpy")
def _wolfe(rows, p, max_steps):
    m, n = rows.shape
    most = min(m, n + 1) + 1
    subset = np.empty(most, dtype=np.int64)
    factor, basis = np.zeros((most, most)), np.zeros((most, n + 1))
    whole = np.empty(n + 1)
    work, column, v, weights = np.empty(most), np.empty(most), np.empty(most), np.zeros(most)
    inside, refused = np.zeros(m, dtype=np.bool_), np.zeros(m, dtype=np.bool_)
    # Any shift > 0 gives the same weights. Rows next to a target are long; a shift of their size would drown the short.
    lengths = np.empty(m)
    for j in range(m):
        lengths[j] = np.sqrt(np.dot(rows[j], rows[j]))
    shift = max(lengths.min(), 1e-5 * lengths.max())
    if shift == 0.0:
        shift = 1.0
    k = 0
    for j in range(m):
        if p[j] > 0.0 and k < most - 1 and _append(rows[j], shift, k, basis, factor, whole, column):
            subset[k], weights[k], inside[j] = j, p[j], True
            k += 1
    weights[:k] /= weights[:k].sum()
    best = np.inf
    answer = p.copy()
    for _ in range(max_steps):
        # Minor cycles: to the subset's affine optimum, dropping any weight that would turn negative on the way.
        while True:
            _affine(factor, k, work, v, column)
            lowest = 1.0
            out = -1
            for i in range(k):
                if v[i] <= 0.0 and k > 1:
                    ratio = weights[i] / (weights[i] - v[i]) if weights[i] > v[i] else 0.0
                    if ratio < lowest or out < 0:
                        lowest, out = ratio, i
            if out < 0:
                weights[:k] = v[:k]
                break
            for i in range(k):
                weights[i] += lowest * (v[i] - weights[i])
            inside[subset[out]] = False
            _remove(factor, basis, subset, k, out)
            for i in range(out, k - 1):
                weights[i] = weights[i + 1]
            k -= 1
        point = np.zeros(n)
        for i in range(k):
            point += weights[i] * rows[subset[i]]
        norm2 = np.dot(point, point)
        if norm2 > best * (1.0 + 1e-12):
            return answer  # rounding has the better of it
        answer[:] = 0.0
        for i in range(k):
            answer[subset[i]] = max(weights[i], 0.0)
        # A row far below the norm may lower it by less than rounding: long rows, small norm. It may still enter, once.
        if norm2 < best * (1.0 - 1e-13):
            refused[:] = False
        best = min(best, norm2)
        products = np.dot(rows, point)
        entered = False
        while not entered:
            j = -1
            lowest = norm2 * (1.0 - 1e-10)
            for i in range(m):
                if not inside[i] and not refused[i] and products[i] < lowest:
                    lowest, j = products[i], i
            if j < 0 or k >= most - 1:
                return answer
            entered = _append(rows[j], shift, k, basis, factor, whole, column)
            refused[j] = True
        subset[k], weights[k], inside[j] = j, 0.0, True
        k += 1
    return answer
