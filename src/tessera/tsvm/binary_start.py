"""When to fire, by mixed-integer programming: a start for the concave-convex steps of the binary margin on small tasks.

    maximise m  over |w_i| <= 1, theta, one z_k = 1 per target pattern
    theta - w.x(t) >= m at the candidate times of nulls,   w.x(t_k) - theta >= m - M (1 - z_k) at those of targets

It is the largest margin if |w|_inf bounds the weights, on a grid of candidate times, so its optimum is of another
norm; only its times are used. The search tree grows with targets times candidates.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from tessera.tsvm.layout import Layout


def firing_times(nulls: Layout, targets: Layout, step: float = 5.0, seconds: float = 30.0) -> np.ndarray:
    """A time in ms to fire at for each target pattern (P,), of candidates `step` ms apart.

    Raises ValueError if no weights fire on all targets and no null at the candidate times, or none were found in time.
    """
    if not step > 0 or not seconds > 0:
        raise ValueError(f"step is {step} ms and seconds are {seconds}; expected positive numbers")
    null_x, _ = _candidates(nulls, step)
    target_x, at = _candidates(targets, step)
    n, k = null_x.shape[1], len(target_x)
    owner = np.repeat(np.arange(len(targets.ends)), [len(times) for times in at])
    times = np.concatenate(at)
    # Variables: w (n), theta, m, z (k). |w.x| is at most the sum of x, and so are theta and m of any use.
    reach = max(np.abs(null_x).sum(axis=1).max(), np.abs(target_x).sum(axis=1).max())
    big = np.abs(target_x).sum(axis=1) + 2 * reach
    silent = np.hstack([-null_x, np.ones((len(null_x), 1)), -np.ones((len(null_x), 1)), np.zeros((len(null_x), k))])
    firing = np.hstack([target_x, -np.ones((k, 1)), -np.ones((k, 1)), -np.diag(big)])
    once = np.zeros((len(at), n + 2 + k))
    once[owner, n + 2 + np.arange(k)] = 1.0
    constraints = [
        LinearConstraint(silent, 0, np.inf),
        LinearConstraint(firing, -big, np.inf),
        LinearConstraint(once, 1, 1),
    ]
    low = np.concatenate([-np.ones(n), [-reach, 0.0], np.zeros(k)])
    high = np.concatenate([np.ones(n), [reach, reach], np.ones(k)])
    cost = np.zeros(n + 2 + k)
    cost[n + 1] = -1.0
    integral = np.append(np.zeros(n + 2), np.ones(k))
    solution = milp(
        cost, integrality=integral, bounds=Bounds(low, high), constraints=constraints, options={"time_limit": seconds}
    )
    if solution.x is None or solution.x[n + 1] <= 1e-9:
        raise ValueError(f"no weights fire on all targets at candidates {step} ms apart: {solution.message}")
    chosen = solution.x[n + 2 :] > 0.5
    return times[chosen][np.argsort(owner[chosen])]


def _candidates(layout: Layout, step: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Traces (candidates, N) of all patterns, and the times of each."""
    at = [np.arange(step, end, step) for end in layout.ends]
    patterns = np.repeat(np.arange(len(at)), [len(times) for times in at])
    return layout.traces(patterns, np.concatenate(at))[0], at
