"""What is proved about the largest margin, and that no result contradicts what it proves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

STATUSES = ("certified", "feasible", "infeasible", "undecided", "soft")


def check_bounds(low: float, up: float) -> None:
    """Raises AssertionError unless 0 <= low <= up < inf."""
    if not 0 <= low <= up < np.inf:
        raise AssertionError(f"the bounds [{low}, {up}] hold nothing")


@dataclass(frozen=True)
class Round:
    """One round: the bounds so far, the relative violation v (inf before any lower bound), the number of cuts."""

    low: float
    up: float
    violation: float
    cuts: int


@dataclass(frozen=True)
class Certificate:
    """kappa* in [low, up]. status: certified (gap <= tol), feasible (low > 0), infeasible, undecided; of a soft fit,
    "soft" and the bounds of its objective.

    ratio is |w(a, b, c)| / G of the last multipliers, and size the largest |phi| of a target or cut: the task is
    infeasible if w(a, b, c) is 0 to rounding. Then low and up say nothing about a margin, because there is none, and
    are 0. Whatever the solver did, 0 <= low <= up < inf, and the status agrees with them; AssertionError otherwise.
    """

    status: str
    low: float
    up: float
    ratio: float
    size: float
    tol: float
    history: list[Round] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_bounds(self.low, self.up)
        holds = self.status in STATUSES and np.isfinite(self.ratio)
        agrees = {
            "certified": self.low > 0 and self.gap <= self.tol,
            "feasible": self.low > 0,
            "infeasible": self.up == 0,
            "undecided": self.low == 0,
        }
        if not (holds and agrees.get(self.status, True)):
            raise AssertionError(f"{self.status} contradicts the bounds [{self.low}, {self.up}], ratio {self.ratio}")

    @property
    def gap(self) -> float:
        """(up - low)/up, relative."""
        return (self.up - self.low) / self.up if self.up > 0 else 0.0
