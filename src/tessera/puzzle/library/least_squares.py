"""Closed-form variants: what gradient descent would slowly find for the linear parts of a subblock.

A linear variant is a regression of the parent subblock's output on its input; a narrowed FFN's down projection, and a
merged attention's output projection, are regressions on the features they keep. One pass over the tokens accumulates
the moments

    G = sum_t w_t f_t f_t'      C = sum_t w_t f_t y_t'      Y = sum_t w_t y_t y_t'  (its trace alone)

in float64, and (G + ridge I) W = C is solved by Cholesky. The weights w_t make the residual the per-token normalised
error: an error counts by its size relative to the hidden state that it is added to, and not at all at a token that does
not count. Derived here; not in the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

#: Channels that `eliminate` removes at once: larger is faster, smaller is nearer to one at a time.
ELIMINATION_BATCH = 16


@dataclass
class Moments:
    """Weighted second moments of features f (N) and targets y (M), in float64.

    G (N, N), C (N, M), Y the weighted squared norm of the targets.
    """

    G: Tensor
    C: Tensor
    Y: float = 0.0

    @classmethod
    def empty(cls, features: int, targets: int, device: torch.device | str = "cpu") -> "Moments":
        """Moments of no token, on a device."""
        return cls(*(torch.zeros(features, n, dtype=torch.float64, device=device) for n in (features, targets)))

    def add(self, f: Tensor, y: Tensor, w: Tensor) -> None:
        """Add tokens: f (tokens, N), y (tokens, M), w (tokens,) weights >= 0; products in float32 or float64."""
        f, y = f.to(torch.promote_types(f.dtype, torch.float32)), y.to(torch.promote_types(y.dtype, torch.float32))
        weighted = f * w[:, None]
        with torch.autocast(f.device.type, enabled=False):
            self.G += weighted.T @ f
            self.C += weighted.T @ y
        self.Y += float((w[:, None] * y * y).sum(dtype=torch.float64))

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of the tokens of both."""
        return Moments(self.G + other.G, self.C + other.C, self.Y + other.Y)

    def narrowed(self, channels: Tensor) -> "Moments":
        """Moments of some features (N',) alone."""
        return Moments(self.G[channels][:, channels], self.C[channels], self.Y)

    def error(self, W: Tensor) -> float:
        """Weighted squared error of the map f -> f W, relative to that of the map to zero."""
        residual = self.Y - 2 * float((W * self.C).sum()) + float((W * (self.G @ W)).sum())
        return max(residual, 0.0) / self.Y


def solve(G: Tensor, C: Tensor, ridge: float, around: Tensor | None = None) -> Tensor:
    """W (N, M) of (G + ridge * mean(diag G) I) (W - around) = C - G around, where around is 0 if not given.

    The ridge draws W towards `around`: the least squares of what that map leaves over. Raises ValueError if G is not
    finite, or too near to singular for this ridge.
    """
    if around is None:
        return torch.cholesky_solve(C, factor(G, ridge))
    return around + torch.cholesky_solve(C - G @ around, factor(G, ridge))


@dataclass(frozen=True)
class Ridge:
    """A ridge that was chosen, and what it draws weights to."""

    ridge: float
    around: Tensor | None
    """W (N, M), None for 0."""
    error: float
    """On the text by which it was chosen (see Moments.error)."""

    def of(self, moments: Moments) -> Tensor:
        """W (N, M) by these moments."""
        return solve(moments.G, moments.C, self.ridge, self.around)


def choose(train: Moments, held_out: Moments, ridges: Sequence[float], arounds: Sequence[Tensor | None]) -> Ridge:
    """The ridge, and what it is around, whose map of the moments `train` has the least error on held-out text."""
    tried = [Ridge(ridge, around, 0.0) for around in arounds for ridge in ridges]
    return min((replace(one, error=held_out.error(one.of(train))) for one in tried), key=lambda one: one.error)


def factor(G: Tensor, ridge: float) -> Tensor:
    """Lower Cholesky factor of G + ridge * mean(diag G) I.

    Raises ValueError if G is not finite, or too near to singular for this ridge.
    """
    if not torch.isfinite(G).all():
        raise ValueError("the Gram matrix is not finite: the parent's activations overflow on the calibration text")
    A = G.clone()
    A.diagonal().add_(ridge * G.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny))
    factor, failed = torch.linalg.cholesky_ex(A)
    if failed:
        raise ValueError(f"the Gram matrix is singular to rounding: raise library.ridge, now {ridge}")
    return factor


def contribution(moments_diagonal: Tensor, W: Tensor) -> Tensor:
    """The paper's channel contribution, root-mean-square activation in place of the mean absolute one.

    moments_diagonal (F,) mean square of each channel, W (F, D) its outgoing weights.
    """
    return moments_diagonal.sqrt() * W.norm(dim=1)


def eliminate(G: Tensor, W: Tensor, ridge: float, widths: list[int]) -> dict[int, Tensor]:
    """Backward elimination of channels by least reconstruction error.

    With P = (G + ridge)^-1 and the outgoing weights W (F, M) refitted to the channels that remain, dropping channel j
    raises the squared error by |W_j|^2 / P_jj (Hassibi & Stork 1993, for many outputs). The cheapest few are dropped
    at a time and P and W downdated, so all widths come from one sweep and are nested.

    Returns the sorted indices of the kept channels by width.
    """
    size = len(G)
    P = torch.cholesky_inverse(factor(G, ridge))
    W, kept, channels = W.to(G.dtype).clone(), torch.arange(size, device=G.device), {}
    for width in sorted(set(widths), reverse=True):
        while len(kept) > width:
            cost = W.square().sum(1) / P.diagonal()
            drop = cost.argsort(stable=True)[: min(ELIMINATION_BATCH, len(kept) - width)]
            stay = torch.ones(len(kept), dtype=torch.bool, device=G.device)
            stay[drop] = False
            gain = torch.linalg.solve(P[drop][:, drop], P[drop][:, stay])  # (dropped, remaining)
            W = W[stay] - gain.T @ W[drop]
            P = P[stay]  # a copy at a time: P is as large as G
            dropped, P = P[:, drop], P[:, stay]
            P -= dropped @ gain
            kept = kept[stay]
        channels[width] = kept.clone()
    return channels
