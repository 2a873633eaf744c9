"""The loss of a child by the tokens with which it was healed:

    KL(D) = E + A D^-beta,      E, A >= 0

the published law of the loss after pruning (Chen et al. 2025, "P2 law", arXiv 2411.10272) for one child, with what
depends on its parent's size, its pruning and its loss before in E and A. That it is the KL to the parent here, and not
the loss above the parent's, is ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Exponents that are tried.
BETAS = np.geomspace(0.02, 2.0, 400)


@dataclass(frozen=True)
class Law:
    """Parameters, as arrays of equal shape for several fits at once."""

    floor: NDArray
    """E, nats per token."""
    scale: NDArray
    """A, nats per token at D = 1."""
    exponent: NDArray
    """beta."""

    def kl(self, tokens: ArrayLike) -> NDArray:
        """KL after healing with some tokens, nats per token."""
        return self.floor + self.scale * np.asarray(tokens, float) ** -self.exponent

    def tokens(self, kl: float) -> NDArray:
        """Tokens that bring a child to a KL; infinite where the law's floor is not below it."""
        above = kl - self.floor
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            needed = (self.scale / above) ** (1 / self.exponent)
        return np.where(above > 0, needed, np.inf)


def fit(tokens: ArrayLike, kl: ArrayLike) -> Law:
    """The laws of least squared relative error of KL (..., D) at tokens (D,), D >= 4.

    For each exponent E and A follow by least squares of two variables that are not negative; of the exponents the best
    one of BETAS is taken.
    """
    y = np.asarray(kl, float)[..., None]
    powers = np.asarray(tokens, float)[:, None] ** -BETAS
    # Residuals 1 - (E + A powers) / y, so of E: 1 / y, of A: powers / y.
    ones, slopes = np.broadcast_to(1 / y, np.broadcast_shapes(y.shape, powers.shape)), powers / y
    a11, a12, a22 = ((p * q).sum(-2) for p, q in ((ones, ones), (ones, slopes), (slopes, slopes)))
    b1, b2 = ones.sum(-2), slopes.sum(-2)
    determinant = a11 * a22 - a12**2
    with np.errstate(divide="ignore", invalid="ignore"):
        floor, scale = (b1 * a22 - b2 * a12) / determinant, (b2 * a11 - b1 * a12) / determinant
    free = np.isfinite(floor) & np.isfinite(scale) & (floor >= 0) & (scale >= 0)
    # Else one of the two is 0, whichever leaves the smaller error: that is -b^2/a more than with both at 0.
    flat = b1**2 / a11 > b2**2 / a22
    floor = np.where(free, floor, np.where(flat, b1 / a11, 0.0))
    scale = np.where(free, scale, np.where(flat, 0.0, b2 / a22))
    error = ((1 - floor[..., None, :] * ones - scale[..., None, :] * slopes) ** 2).sum(-2)
    best = error.argmin(-1)[..., None]
    floor, scale = (np.take_along_axis(values, best, -1)[..., 0] for values in (floor, scale))
    return Law(floor, scale, BETAS[best[..., 0]])
