"""The tempotron's learning rule, as one loop shared by every input that gives a maximum and its gradient.

On an error for pattern mu, with label y = +-1 and gradient x(t_max) of max V:

    velocity <- y rate x(t_max) + momentum velocity,     w <- w + velocity.

The velocity is touched on errors alone. With margin kappa > 0 an error is y (max V - theta) < kappa theta, else a wrong
decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: One pass over the patterns in the given order; changes weights and velocity in place, returns the updates made.
Epoch = Callable[[np.ndarray, np.ndarray, np.ndarray], int]


@dataclass(frozen=True)
class Descent:
    """What a run of the rule found.

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
        """`solved`, or `epoch cap`: undecided, for more epochs might solve it."""
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

    A start that reaches `max_epochs` is followed by up to `restarts` others; the last start with the fewest updates in
    its last epoch is returned when none converges.
    """
    best: Descent | None = None
    for restart in range(restarts + 1):
        weights = rng.normal(scale=init_scale, size=n_weights) if init_scale else np.zeros(n_weights)
        velocity = np.zeros(n_weights)
        updates: list[int] = []
        while len(updates) < max_epochs and (not updates or updates[-1]):
            updates.append(epoch(rng.permutation(n_patterns), weights, velocity))
        found = Descent(weights, updates[-1] == 0, np.array(updates, dtype=np.int64), restart)
        if best is None or found.updates[-1] <= best.updates[-1]:
            best = found
        if found.converged:
            break
    assert best is not None
    return best
