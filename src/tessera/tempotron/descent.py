"""The tempotron's learning rule, as one loop shared by every input that gives a maximum and its gradient.

On an error for pattern mu, with label y = +-1 and gradient x(t_max) of max V:

    velocity <- y rate x(t_max) + momentum velocity,     w <- w + velocity.

The velocity is touched on errors alone. With margin kappa > 0 an error is y (max V - theta) < kappa theta, else a wrong
decision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

#: One pass over the patterns in the given order; changes weights and velocity in place, returns the updates made.
Epoch = Callable[[np.ndarray, np.ndarray, np.ndarray], int]


_POSITIVE = Real, lambda v: 0 < v < math.inf, "a positive, finite number"
_SHARE = Real, lambda v: 0 <= v < 1, "a number in [0, 1)"
_OPTIONS = {
    "threshold": _POSITIVE,
    "rate": _POSITIVE,
    "learning_rate": _POSITIVE,
    "momentum": _SHARE,
    "margin": _SHARE,
    "init_scale": (Real, lambda v: 0 <= v < math.inf, "a finite number >= 0"),
    "max_epochs": (Integral, lambda v: v >= 1, "an integer >= 1"),
    "restarts": (Integral, lambda v: v >= 0, "an integer >= 0"),
}


def check_options(**options: object) -> None:
    """Raise ValueError for the first option of the rule, given by name, that is out of its range."""
    for name, value in options.items():
        kind, fine, expected = _OPTIONS[name]
        if isinstance(value, bool) or not isinstance(value, kind) or not fine(value):
            raise ValueError(f"{name} is {value!r}; expected {expected}")


def check_finite(weights: np.ndarray) -> None:
    """Raise ValueError if learning has made the weights overflow."""
    if not np.isfinite(weights).all():
        raise ValueError("learning made the weights overflow; expected a smaller learning rate or momentum")


@dataclass(frozen=True)
class Descent:
    """Outcome of a run of the rule.

    weights   (N,)
    converged True iff an epoch passed without an update
    updates   (epochs,) updates made in each epoch; its last entry is 0 iff converged
    restart   which start this was, from 0
    """

    weights: np.ndarray
    converged: bool
    updates: np.ndarray
    restart: int = 0

    @property
    def epochs(self) -> int:
        return len(self.updates)

    @property
    def status(self) -> str:
        """`solved`, or `epoch cap`: undecided, because more epochs might solve it."""
        return "solved" if self.converged else "epoch cap"


def descend(
    epoch: Epoch,
    n_weights: int,
    n_patterns: int,
    rng: np.random.Generator,
    *,
    max_epochs: int,
    init_scale: float,
    restarts: int = 0,
) -> Descent:
    """Run the rule from normal weights of sd `init_scale`, in a fresh order each epoch, until an epoch makes no update.

    A start that reaches `max_epochs` is followed by up to `restarts` others; if none converges, the last of those with
    the fewest updates in their last epoch is returned. Raises ValueError if options are out of range or weights
    overflow.
    """
    check_options(max_epochs=max_epochs, init_scale=init_scale, restarts=restarts)
    best: Descent | None = None
    for restart in range(restarts + 1):
        weights = rng.normal(scale=init_scale, size=n_weights) if init_scale else np.zeros(n_weights)
        velocity = np.zeros(n_weights)
        updates: list[int] = []
        while len(updates) < max_epochs and (not updates or updates[-1]):
            updates.append(epoch(rng.permutation(n_patterns), weights, velocity))
        check_finite(weights)
        outcome = Descent(weights, updates[-1] == 0, np.array(updates, dtype=np.int64), restart)
        if best is None or outcome.updates[-1] <= best.updates[-1]:
            best = outcome
        if outcome.converged:
            break
    assert best is not None
    return best
