"""Kernels on traces, with the derivatives that slopes need, and their potentials between two events.

V(t) = <w, phi(x(t))> - theta r(t), with w spanned by phi(x(t_j)) and d/dt phi(x(t_j)). Three products suffice, for
traces x, x' and their velocities u, u':

    value  k(x, x'),    first  grad_2 k(x, x') . u',    mixed  u . grad_1 grad_2 k(x, x') . u'.

Kernels here are plain; `centred` takes rest out, k(x, x') - k(x, 0) - k(0, x') + k(0, 0), so that V = 0 without input
and the reset means the same as for the linear neuron. A new kernel needs the three products and `terms` (sums of
exponentials between events) or, as the Gaussian one, bounds on the derivatives of its feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb, isfinite
from typing import Protocol

import numpy as np


class Kernel(Protocol):
    """Products of M by M' points: x (M, N), y (M', N), velocities u (M, N), v (M', N) in 1/ms; each returns (M, M')."""

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray: ...

    def first(self, x: np.ndarray, y: np.ndarray, v: np.ndarray) -> np.ndarray: ...

    def mixed(self, x: np.ndarray, u: np.ndarray, y: np.ndarray, v: np.ndarray) -> np.ndarray: ...


class ExponentialKernel(Kernel, Protocol):
    """A kernel whose potential between events is a sum of exponentials."""

    def powers(self) -> list[tuple[int, int]]: ...

    def terms(self, w: Expansion, slow: np.ndarray, fast: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Expansion:
    """w = sum_j values_j phi(x_j) + derivs_j grad phi(x_j) . u_j, of J atoms; x, u (J, N), values, derivs (J,)."""

    x: np.ndarray
    u: np.ndarray
    values: np.ndarray
    derivs: np.ndarray


@dataclass(frozen=True)
class Linear:
    """k = x.x'."""

    def value(self, x, y):
        return x @ y.T

    def first(self, x, y, v):
        return x @ v.T

    def mixed(self, x, u, y, v):
        return u @ v.T

    def powers(self) -> list[tuple[int, int]]:
        """Which D^m S^n occur in the potential between events."""
        return [(1, 0), (0, 1)]

    def terms(self, w: Expansion, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
        """(E, len(powers)) coefficients of exp(-m s/tau_m - n s/tau_s), for traces x = slow exp(-s/tau_m) +
        fast exp(-s/tau_s) from the pieces' starts on, each (E, N)."""
        weights = w.values @ w.x + w.derivs @ w.u
        return np.stack([slow @ weights, fast @ weights], axis=1)


@dataclass(frozen=True)
class Polynomial:
    """k = (1 + x.x')^degree."""

    degree: int = 2

    def __post_init__(self) -> None:
        if not (isinstance(self.degree, int) and 1 <= self.degree <= 5):
            raise ValueError(f"degree is {self.degree}; valid is a whole number from 1 to 5")

    def value(self, x, y):
        return (1 + x @ y.T) ** self.degree

    def first(self, x, y, v):
        p = self.degree
        return p * (1 + x @ y.T) ** (p - 1) * (x @ v.T)

    def mixed(self, x, u, y, v):
        p, base = self.degree, 1 + x @ y.T
        curved = p * (p - 1) * base ** max(p - 2, 0) * (u @ y.T) * (x @ v.T) if p > 1 else 0.0
        return p * base ** (p - 1) * (u @ v.T) + curved

    def powers(self) -> list[tuple[int, int]]:
        p = self.degree
        return [(m, n) for m in range(p + 1) for n in range(p + 1 - m) if m + n]

    def terms(self, w: Expansion, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
        p = self.degree
        a, b = slow @ w.x.T, fast @ w.x.T  # x_j.x = a y_m + b y_s, (E, J)
        da, db = slow @ w.u.T, fast @ w.u.T
        columns = []
        for m, n in self.powers():
            whole = comb(p, m + n) * comb(m + n, m)
            column = (whole * a**m * b**n) @ w.values
            # d/dx' of it along u_j: p pi^(p-1) (da y_m + db y_s)
            if m:
                column = column + (whole * m * a ** (m - 1) * b**n * da) @ w.derivs
            if n:
                column = column + (whole * n * a**m * b ** (n - 1) * db) @ w.derivs
            columns.append(column)
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Gaussian:
    """k = exp(-|x - x'|^2 / 2 sigma^2)."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not (isfinite(self.sigma) and self.sigma > 0):
            raise ValueError(f"sigma is {self.sigma}; valid is a positive, finite number")

    def value(self, x, y):
        square = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :] - 2 * x @ y.T
        return np.exp(-np.maximum(square, 0.0) / (2 * self.sigma**2))

    def first(self, x, y, v):
        return self.value(x, y) * (x @ v.T - (y * v).sum(axis=1)) / self.sigma**2

    def mixed(self, x, u, y, v):
        along_u = u @ y.T - (u * x).sum(axis=1)[:, None]  # u.(x' - x)
        along_v = x @ v.T - (y * v).sum(axis=1)  # u'.(x - x')
        return self.value(x, y) * (u @ v.T / self.sigma**2 + along_u * along_v / self.sigma**4)


@dataclass(frozen=True, eq=False)
class Interaction:
    """k = sum_ij A_ij x_i x_j x'_i x'_j, A >= 0 symmetric (N, N): synapses in pairs, features sqrt(A_ij) x_i x_j."""

    a: np.ndarray

    def __post_init__(self) -> None:
        a = np.asarray(self.a, dtype=float)
        if a.ndim != 2 or a.shape[0] != a.shape[1] or not np.isfinite(a).all():
            raise ValueError(f"interaction has shape {a.shape}; valid is a square matrix of finite numbers")
        if (a < 0).any() or not np.allclose(a, a.T, rtol=0, atol=1e-12 * max(1.0, a.max(initial=0.0))):
            raise ValueError("interaction must be symmetric and nowhere negative, or the kernel is not positive")
        object.__setattr__(self, "a", a)

    def value(self, x, y):
        return self._form(x, x, y, y)

    def _form(self, x, u, y, v):
        """sum_ij A_ij x_i u_j y_i v_j."""
        columns = [((u * one_v) @ self.a * x) @ one_y for one_y, one_v in zip(y, v, strict=True)]
        return np.stack(columns, axis=1) if columns else np.empty((len(x), 0))

    def first(self, x, y, v):
        return 2 * self._form(x, x, y, v)

    def mixed(self, x, u, y, v):
        return 2 * self._form(u, x, v, y) + 2 * self._form(u, x, y, v)

    def powers(self) -> list[tuple[int, int]]:
        return [(2, 0), (1, 1), (0, 2)]

    def terms(self, w: Expansion, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
        cross = (w.x.T * w.derivs) @ w.u
        form = self.a * ((w.x.T * w.values) @ w.x + cross + cross.T)
        left = slow @ form
        return np.stack([(left * slow).sum(1), 2 * (left * fast).sum(1), ((fast @ form) * fast).sum(1)], axis=1)


@dataclass(frozen=True)
class Branches:
    """Sum of one kernel over branches, each of which sees its own afferents: groups of indices, disjoint or not."""

    kernel: Linear | Polynomial | Gaussian
    groups: Sequence[Sequence[int]] = field(default=())

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, Linear | Polynomial | Gaussian):
            raise ValueError(f"branches of {self.kernel!r}; valid are Linear, Polynomial and Gaussian")
        groups = tuple(tuple(int(i) for i in group) for group in self.groups)
        if not groups or not all(groups):
            raise ValueError("branches need groups of afferents, none of them empty")
        for b, group in enumerate(groups):
            if min(group) < 0 or len(set(group)) < len(group):
                raise ValueError(f"branch {b}: afferents {group} must be different indices >= 0")
        object.__setattr__(self, "groups", groups)

    def _parts(self, *points: np.ndarray):
        return ([point[:, list(group)] for point in points] for group in self.groups)

    def value(self, x, y):
        return np.sum([self.kernel.value(*parts) for parts in self._parts(x, y)], axis=0)

    def first(self, x, y, v):
        return np.sum([self.kernel.first(*parts) for parts in self._parts(x, y, v)], axis=0)

    def mixed(self, x, u, y, v):
        return np.sum([self.kernel.mixed(*parts) for parts in self._parts(x, u, y, v)], axis=0)

    def powers(self) -> list[tuple[int, int]]:
        return self._exponential().powers()

    def terms(self, w: Expansion, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
        kernel = self._exponential()
        parts = self._parts(w.x, w.u, slow, fast)
        return np.sum([kernel.terms(Expansion(x, u, w.values, w.derivs), a, b) for x, u, a, b in parts], axis=0)

    def _exponential(self) -> Linear | Polynomial:
        if isinstance(self.kernel, Gaussian):
            raise TypeError("a Gaussian kernel is no sum of exponentials")
        return self.kernel


def centred_gram(kernel: Kernel, x: np.ndarray, u: np.ndarray, is_slope: np.ndarray,
                 y: np.ndarray, v: np.ndarray, y_is_slope: np.ndarray) -> np.ndarray:  # fmt: skip
    """Products (M, M') of atoms phi(x) - phi(0), or their time derivatives where is_slope (M,) or y_is_slope (M',)."""
    zero = np.zeros((1, x.shape[1]))
    found = np.empty((len(x), len(y)))
    a, b = np.flatnonzero(~is_slope), np.flatnonzero(is_slope)
    c, d = np.flatnonzero(~y_is_slope), np.flatnonzero(y_is_slope)
    rest = kernel.value(zero, zero)
    found[np.ix_(a, c)] = kernel.value(x[a], y[c]) - kernel.value(x[a], zero) - kernel.value(zero, y[c]) + rest
    found[np.ix_(a, d)] = kernel.first(x[a], y[d], v[d]) - kernel.first(zero, y[d], v[d])
    found[np.ix_(b, c)] = (kernel.first(y[c], x[b], u[b]) - kernel.first(zero, x[b], u[b])).T
    found[np.ix_(b, d)] = kernel.mixed(x[b], u[b], y[d], v[d])
    return found


def branches_of(kernel: Kernel, n: int) -> tuple[Gaussian, list[list[int]]] | None:
    """The Gaussian kernel and its groups of afferents, where the kernel is Gaussian or a sum of such; else None."""
    if isinstance(kernel, Gaussian):
        return kernel, [list(range(n))]
    if isinstance(kernel, Branches) and isinstance(kernel.kernel, Gaussian):
        return kernel.kernel, [list(group) for group in kernel.groups]
    return None


def check_afferents(kernel: Kernel, n: int) -> None:
    """Raises ValueError where the kernel does not fit N afferents."""
    if isinstance(kernel, Interaction) and len(kernel.a) != n:
        raise ValueError(f"interaction is of {len(kernel.a)} afferents, the trains of {n}")
    if isinstance(kernel, Branches):
        for b, group in enumerate(kernel.groups):
            if max(group) >= n:
                raise ValueError(f"branch {b}: afferent {max(group)} is outside 0..{n - 1}")
