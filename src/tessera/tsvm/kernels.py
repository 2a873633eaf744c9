"""Kernels on traces, with the derivatives that slopes need.

V(t) = <w, phi(x(t))> - theta r(t), with w spanned by phi(x(t_j)) and d/dt phi(x(t_j)). Three products suffice, for
traces x, x' and their velocities u, u':

    value  k(x, x'),    first  grad_2 k(x, x') . u',    mixed  u . grad_1 grad_2 k(x, x') . u'.

Kernels here are plain; `centred_gram` takes rest out, k(x, x') - k(x, 0) - k(0, x') + k(0, 0), so that V = 0 without
input and the reset means the same as for the linear neuron. A new kernel needs the three products, and either the
`monomials` of its feature map or, as the Gaussian one, products of differences and bounds on the map's derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from math import comb, isfinite, perm
from typing import Protocol

import numpy as np

from tessera.tsvm.features import Monomials

#: Dimensions of the largest feature space that is made explicit: some 400 MB for the 300 cuts of a usual task.
MOST_FEATURES = 200_000


class Kernel(Protocol):
    """Products of M by M' points: x (M, N), y (M', N), velocities u (M, N), v (M', N) in 1/ms; each returns (M, M')."""

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray: ...

    def first(self, x: np.ndarray, y: np.ndarray, v: np.ndarray) -> np.ndarray: ...

    def mixed(self, x: np.ndarray, u: np.ndarray, y: np.ndarray, v: np.ndarray) -> np.ndarray: ...


class PolynomialKernel(Kernel, Protocol):
    """A kernel with finitely many features, all of them monomials."""

    def monomials(self, n: int) -> Monomials: ...


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

    def monomials(self, n: int) -> Monomials:
        """phi of N afferents."""
        return Monomials(np.arange(n)[:, None], np.ones(n))


@dataclass(frozen=True)
class Polynomial:
    """k = (1 + x.x')^degree."""

    degree: int = 2

    def __post_init__(self) -> None:
        if not (isinstance(self.degree, int) and 1 <= self.degree <= 5):
            raise ValueError(f"degree is {self.degree}; expected a whole number from 1 to 5")

    def value(self, x, y):
        return (1 + x @ y.T) ** self.degree

    def first(self, x, y, v):
        p = self.degree
        return p * (1 + x @ y.T) ** (p - 1) * (x @ v.T)

    def mixed(self, x, u, y, v):
        p, base = self.degree, 1 + x @ y.T
        curved = p * (p - 1) * base ** max(p - 2, 0) * (u @ y.T) * (x @ v.T) if p > 1 else 0.0
        return p * base ** (p - 1) * (u @ v.T) + curved

    def monomials(self, n: int) -> Monomials:
        """phi of N afferents, without the constant. Raises ValueError if it has more than MOST_FEATURES dimensions."""
        p = self.degree
        count = comb(n + p, p) - 1
        if count > MOST_FEATURES:
            raise ValueError(
                f"a polynomial of degree {p} has {count:,} features of {n} afferents; expected at most "
                f"{MOST_FEATURES:,}: use a lower degree, smaller branches or a Gaussian kernel"
            )
        parts = []
        for q in range(1, p + 1):
            chosen = np.array(list(combinations_with_replacement(range(n), q)))
            # The square of the scale is multinomial: p! / ((p - q)! prod of the factorials of how often each occurs).
            square, run = np.full(len(chosen), perm(p, q), dtype=float), np.ones(len(chosen))
            for k in range(1, q):
                run = np.where(chosen[:, k] == chosen[:, k - 1], run + 1, 1)
                square /= run
            parts.append((np.pad(chosen, ((0, 0), (0, p - q)), constant_values=-1), np.sqrt(square)))
        return Monomials(np.vstack([indices for indices, _ in parts]), np.concatenate([scales for _, scales in parts]))


@dataclass(frozen=True)
class Gaussian:
    """k = exp(-|x - x'|^2 / 2 sigma^2)."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not (isfinite(self.sigma) and self.sigma > 0):
            raise ValueError(f"sigma is {self.sigma}; expected a positive, finite number")

    def value(self, x, y):
        square = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :] - 2 * x @ y.T
        return np.exp(-np.maximum(square, 0.0) / (2 * self.sigma**2))

    def first(self, x, y, v):
        return self.value(x, y) * (x @ v.T - (y * v).sum(axis=1)) / self.sigma**2

    def mixed(self, x, u, y, v):
        along_u = u @ y.T - (u * x).sum(axis=1)[:, None]  # u.(x' - x)
        along_v = x @ v.T - (y * v).sum(axis=1)  # u'.(x - x')
        return self.value(x, y) * (u @ v.T / self.sigma**2 + along_u * along_v / self.sigma**4)

    def steps(self, x, d, y, e):
        """<phi(x + d) - phi(x), phi(y + e) - phi(y)> to the digits of short steps: k(x + d, y) = k(x, y) exp(a),
        k(x, y + e) = k(x, y) exp(b), and k(x + d, y + e) = k(x, y) exp(a + b + c)."""
        inverse = 1 / self.sigma**2
        a = inverse * ((d @ y.T) - (x * d).sum(axis=1)[:, None] - 0.5 * (d * d).sum(axis=1)[:, None])
        b = inverse * ((x @ e.T) - (y * e).sum(axis=1) - 0.5 * (e * e).sum(axis=1))
        c = inverse * (d @ e.T)
        old, along, across, both = (
            self.value(x, y),
            self.value(x + d, y),
            self.value(x, y + e),
            self.value(x + d, y + e),
        )
        # The longer of two steps is taken as it is, unless both are short.
        of_d = _change(across, a + c, both) - _change(old, a, along)
        of_e = _change(along, b + c, both) - _change(old, b, across)
        short = (np.abs(a) < 1) & (np.abs(b) < 1) & (np.abs(c) < 1)
        a, b, c = (np.where(short, part, 0.0) for part in (a, b, c))
        exact = old * (np.expm1(a) * np.expm1(b) + np.exp(a + b) * np.expm1(c))
        return np.where(short, exact, np.where(np.abs(a) < np.abs(b), of_d, of_e))

    def step_slopes(self, x, d, y, v):
        """<phi(x + d) - phi(x), derivative of phi at y along v>, likewise."""
        inverse = 1 / self.sigma**2
        a = inverse * ((d @ y.T) - (x * d).sum(axis=1)[:, None] - 0.5 * (d * d).sum(axis=1)[:, None])
        old, along = self.value(x, y), self.value(x + d, y)
        return inverse * (along * (d @ v.T) + _change(old, a, along) * (x @ v.T - (y * v).sum(axis=1)))


def _change(old: np.ndarray, exponent: np.ndarray, new: np.ndarray) -> np.ndarray:
    """new - old, where new = old exp(exponent)."""
    short = np.abs(exponent) < 1
    return np.where(short, old * np.expm1(np.where(short, exponent, 0.0)), new - old)


@dataclass(frozen=True, eq=False)
class Interaction:
    """k = sum_ij A_ij x_i x_j x'_i x'_j, A >= 0 symmetric (N, N): synapses in pairs, features sqrt(A_ij) x_i x_j."""

    a: np.ndarray

    def __post_init__(self) -> None:
        a = np.asarray(self.a, dtype=float)
        if a.ndim != 2 or a.shape[0] != a.shape[1] or not np.isfinite(a).all():
            raise ValueError(f"interaction has shape {a.shape}; expected a square matrix of finite numbers")
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

    def monomials(self, n: int) -> Monomials:
        """phi of N afferents."""
        i, j = np.nonzero(np.triu(self.a))
        return Monomials(np.stack([i, j], axis=1), np.sqrt(np.where(i == j, 1, 2) * self.a[i, j]))


@dataclass(frozen=True)
class Branches:
    """Sum of one kernel over branches, each of which sees its own afferents: groups of indices, disjoint or not."""

    kernel: Linear | Polynomial | Gaussian
    groups: Sequence[Sequence[int]] = field(default=())

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, Linear | Polynomial | Gaussian):
            raise ValueError(f"branches of {self.kernel!r}; expected Linear, Polynomial or Gaussian")
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

    def steps(self, x, d, y, e):
        """The sum of the branches' products; Gaussian branches only."""
        kernel = self._gaussian()
        return np.sum([kernel.steps(*parts) for parts in self._parts(x, d, y, e)], axis=0)

    def step_slopes(self, x, d, y, v):
        """Likewise."""
        kernel = self._gaussian()
        return np.sum([kernel.step_slopes(*parts) for parts in self._parts(x, d, y, v)], axis=0)

    def _gaussian(self) -> Gaussian:
        if not isinstance(self.kernel, Gaussian):
            raise TypeError(f"{self.kernel!r} has explicit features, and no products of steps")
        return self.kernel

    def monomials(self, n: int) -> Monomials:
        """phi of N afferents: those of the branches, one after the other."""
        if isinstance(self.kernel, Gaussian):
            raise TypeError("a Gaussian kernel has infinitely many features")
        parts = [self.kernel.monomials(len(group)) for group in self.groups]
        indices = [np.append(group, -1)[part.indices] for group, part in zip(self.groups, parts, strict=True)]
        return Monomials(np.vstack(indices), np.concatenate([part.scales for part in parts]))


def centred_gram(kernel: Kernel, x: np.ndarray, u: np.ndarray, is_slope: np.ndarray,
                 y: np.ndarray, v: np.ndarray, y_is_slope: np.ndarray) -> np.ndarray:  # fmt: skip
    """Products (M, M') of atoms phi(x) - phi(0), or their time derivatives where is_slope (M,) or y_is_slope (M',)."""
    zero = np.zeros((1, x.shape[1]))
    gram = np.empty((len(x), len(y)))
    a, b = np.flatnonzero(~is_slope), np.flatnonzero(is_slope)
    c, d = np.flatnonzero(~y_is_slope), np.flatnonzero(y_is_slope)
    rest = kernel.value(zero, zero)
    gram[np.ix_(a, c)] = kernel.value(x[a], y[c]) - kernel.value(x[a], zero) - kernel.value(zero, y[c]) + rest
    gram[np.ix_(a, d)] = kernel.first(x[a], y[d], v[d]) - kernel.first(zero, y[d], v[d])
    gram[np.ix_(b, c)] = (kernel.first(y[c], x[b], u[b]) - kernel.first(zero, x[b], u[b])).T
    gram[np.ix_(b, d)] = kernel.mixed(x[b], u[b], y[d], v[d])
    return gram


def branches_of(kernel: Kernel, n: int) -> tuple[Gaussian, list[list[int]]] | None:
    """The Gaussian kernel and its groups of afferents, if the kernel is Gaussian or a sum of such; else None."""
    if isinstance(kernel, Gaussian):
        return kernel, [list(range(n))]
    if isinstance(kernel, Branches) and isinstance(kernel.kernel, Gaussian):
        return kernel.kernel, [list(group) for group in kernel.groups]
    return None


def check_afferents(kernel: Kernel, n: int) -> None:
    """Raises ValueError if the kernel does not fit N afferents."""
    if isinstance(kernel, Interaction) and len(kernel.a) != n:
        raise ValueError(f"interaction is of {len(kernel.a)} afferents, the trains of {n}")
    if isinstance(kernel, Branches):
        for b, group in enumerate(kernel.groups):
            if max(group) >= n:
                raise ValueError(f"branch {b}: afferent {max(group)} is outside 0..{n - 1}")
