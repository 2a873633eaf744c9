"""Does any weight vector classify all patterns? Decided exactly, for small problems, by mixed-integer programming.

Independent bins: pattern mu is K vectors x_{mu k}, the neuron fires iff max_k w.x_{mu k} >= theta. With the firing bin
of each target chosen by binaries b, maximise the margin m in [0, 1] over |w_i| <= 1 and theta, on inputs of order one:

    null:    w.x_{mu k} - theta + m <= 0                        for every k
    target:  w.x_{mu k} - theta - m >= -M (1 - b_{mu k})        for every k,   sum_k b_{mu k} >= 1.

The patterns are separable iff m > 0. References: T. M. Cover, IEEE Transactions on Electronic Computers EC-14, 326
(1965), for K = 1; solver: HiGHS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from tessera.common.progress import track
from tessera.common.randomness import generator
from tessera.tempotron import tasks
from tessera.tempotron.learn import check_labels
from tessera.tempotron.params import ExistenceParams

#: A margin below this counts as zero unless the weights solve the task: the solver's own tolerance is 1e-6.
MARGIN = 1e-4
#: A gap between targets and nulls below this fraction of their largest terms is due to rounding errors.
ROUNDING = 1e-12

Verdict = Literal["solvable", "unsolvable", "undecided"]


@dataclass(frozen=True)
class Existence:
    """verdict: `undecided` if the search tree grew too large before a margin was found or ruled out.

    weights (N,) and threshold solve the task if it is solvable, else None; margin is that of the weights, 0 if none,
    with each input in a unit near its largest value.
    """

    verdict: Verdict
    margin: float
    weights: np.ndarray | None
    threshold: float | None


def exists(patterns: np.ndarray, labels: np.ndarray, max_nodes: int = 10_000) -> Existence:
    """Decide whether patterns (P, K, N) with labels +-1 (P,) can be classified.

    max_nodes bounds the search tree. A bound on time instead would let the machine's load into the verdicts.
    """
    labels = check_labels(labels, len(patterns))
    if patterns.ndim != 3 or not patterns.size or not np.isfinite(patterns).all():
        raise ValueError(f"patterns have shape {patterns.shape}; expected (P, K, N), not empty and finite")
    if max_nodes < 1:
        raise ValueError(f"max_nodes is {max_nodes}; expected at least 1")
    # Weights make up for the unit of each input, so the verdict does not depend on it. Powers of two round nothing.
    largest = np.abs(patterns).max(axis=(0, 1))
    unit = 16.0 ** np.rint(np.log2(np.where(largest > 0, largest / 2, 1)) / 4)
    patterns = patterns / unit
    null, target = patterns[labels < 0], patterns[labels > 0]
    n_targets, k, n = target.shape
    n_choices = n_targets * k
    # |w.x| <= reach, so thresholds beyond it decide nothing, and with M = 2 reach + 1 a bin not chosen is free.
    reach = float(np.abs(patterns).sum(axis=2).max()) or 1.0
    big = 2 * reach + 1

    # Columns: w (N), theta, m, b (targets x K). Rows are written as lower <= A v <= upper.
    null_x, target_x = null.reshape(-1, n), target.reshape(-1, n)
    rows = [
        sparse.hstack([null_x, -np.ones((len(null_x), 1)), np.ones((len(null_x), 1)), _zeros(len(null_x), n_choices)]),
        sparse.hstack(
            [target_x, -np.ones((n_choices, 1)), -np.ones((n_choices, 1)), -big * sparse.eye_array(n_choices)]
        ),
        sparse.hstack([_zeros(n_targets, n + 2), sparse.kron(sparse.eye_array(n_targets), np.ones((1, k)))]),
    ]
    lower = np.r_[np.full(len(null_x), -np.inf), np.full(n_choices, -big), np.ones(n_targets)]
    upper = np.r_[np.zeros(len(null_x)), np.full(n_choices + n_targets, np.inf)]
    solution = milp(
        np.r_[np.zeros(n + 1), -1.0, np.zeros(n_choices)],
        constraints=LinearConstraint(sparse.vstack(rows).tocsr(), lower, upper),
        bounds=Bounds(
            np.r_[-np.ones(n), -reach, 0.0, np.zeros(n_choices)], np.r_[np.ones(n), reach, 1.0, np.ones(n_choices)]
        ),
        integrality=np.r_[np.zeros(n + 2), np.ones(n_choices)],
        options={"node_limit": max_nodes, "mip_rel_gap": 0.5},  # the sign of m matters, not its largest value
    )
    if solution.x is not None:
        weights = solution.x[:n]
        v = (patterns @ weights).max(axis=1)
        low, high = float(v[labels < 0].max(initial=-reach)), float(v[labels > 0].min(initial=reach))
        if high > low + ROUNDING * reach:
            return Existence("solvable", min((high - low) / 2, 1.0), weights / unit, (low + high) / 2)
        if solution.x[n + 1] > MARGIN:
            raise RuntimeError(
                f"HiGHS returned a margin of {solution.x[n + 1]:.3g}, but its weights misclassify a pattern"
            )
    bound = -solution.mip_dual_bound if solution.mip_dual_bound is not None else math.inf
    verdict: Verdict = "unsolvable" if solution.status == 0 or bound <= MARGIN else "undecided"
    return Existence(verdict, 0.0, None, None)


def counts(k: int, n: int, p: ExistenceParams, seed: int) -> list[dict[str, Any]]:
    """Decide random tasks of k bins and n weights: one row per number of patterns, with the verdicts' counts.

    Raises ValueError if p.problems has no such size.
    """
    sizes = [size for problem in p.problems if (problem.k, problem.n) == (k, n) for size in problem.patterns]
    if not sizes:
        raise ValueError(f"existence.problems has no k = {k}, n = {n}")
    rows = []
    for size in track(sizes, f"existence, K = {k}, n = {n}"):
        verdicts = []
        for replicate in range(p.runs):
            rng = generator(seed, "tempotron", "existence", k, n, size, replicate)
            patterns, labels = tasks.bin_patterns(k, n, size, rng), tasks.labels(size, rng)
            verdicts.append(exists(patterns, labels, p.max_nodes).verdict)
        count = {name: verdicts.count(name) for name in ("solvable", "unsolvable", "undecided")}
        rows.append({"k": k, "n": n, "patterns": size, "runs": p.runs, **count})
    return rows


def cover_probability(p: int, n: int) -> float:
    """Cover's exact probability that p patterns in R^n are linearly separable.

    For patterns in general position, fair labels and a free threshold: 2^(1-p) sum_{i=0}^n binom(p-1, i), which is 1/2
    at p = 2 (n+1).
    """
    return sum(math.comb(p - 1, i) for i in range(n + 1)) / 2 ** (p - 1)


def _zeros(rows: int, columns: int) -> sparse.csr_array:
    return sparse.csr_array((rows, columns))
