"""Degenerate, rescaled, duplicated, empty and nearly inseparable tasks: every answer holds against other solvers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from tessera.balanced import samples, solvers
from tessera.balanced.theory import Afferents

pytestmark = pytest.mark.filterwarnings("error")
LABELS = np.array([1.0, -1.0])
SLIGHT = 1e-7  # margins, relative to the activity, that the linear program's tolerance hides


@st.composite
def tasks(draw):
    """Small tasks with silent afferents, empty patterns, equal patterns, multiples, copies and odd units."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, n = draw(st.integers(2, 7)), draw(st.integers(1, 6))
    X = rng.integers(0, 3, (count, n)).astype(float) if draw(st.booleans()) else rng.exponential(size=(count, n))
    y = np.resize(LABELS, count)[rng.permutation(count)]
    signs = rng.choice(LABELS, n)
    for change in draw(st.lists(st.sampled_from(["silent", "empty", "equal", "multiple", "copy", "faint"]), max_size=2)):
        row, other, column = rng.integers(count), rng.integers(count), rng.integers(n)
        if change == "silent":
            X[:, column] = 0
        elif change == "empty":
            X[row] = 0
        elif change in ("equal", "multiple"):
            X[other] = X[row] * (1 if change == "equal" else rng.uniform(0.1, 3))
        elif change == "copy":
            X[:, column] = X[:, rng.integers(n)]
        else:
            X[:, column] *= 1e-3
    return X, y, signs


def separability(X, y, signs, balanced=False):
    """Largest t with y (w.x - theta) >= t, sum g_i w_i + theta <= 1, by HiGHS, on columns of largest activity one."""
    largest = np.abs(X).max(0)
    A = y[:, None] * X * signs / np.where(largest > 0, largest, 1)
    rows = np.column_stack([-A, y * (not balanced), np.ones(len(y))])
    rows = np.vstack([rows, np.r_[np.ones(A.shape[1] + 1), 0]])
    right = np.r_[np.zeros(len(y)), 1.0]
    found = linprog(-np.eye(A.shape[1] + 2)[-1], rows, right, bounds=[(0, None)] * (A.shape[1] + 1) + [(None, None)])
    return -found.fun


def least_norm(X, y, signs, kappa, variable_threshold):
    """Least |w| with y (w.x - theta) >= kappa, by PIQP; theta is 1 or, at will, any theta >= 0. None if it fails."""
    piqp = pytest.importorskip("piqp")
    count, n = X.shape
    solver = piqp.DenseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-10
    rows = np.column_stack([y[:, None] * X * signs, -y])
    low, high = np.zeros(n + 1), np.full(n + 1, np.inf)
    if not variable_threshold:
        low[n] = high[n] = 1.0
    solver.setup(np.diag(np.r_[np.ones(n), 0.0]), np.zeros(n + 1), None, None, rows, np.full(count, kappa), None, low, high)
    return float(np.linalg.norm(solver.result.x[:n])) if solver.solve() == piqp.PIQP_SOLVED else None


def check(result, X, y, signs, norm=None):
    """What every result promises, from its own weights and multipliers."""
    c = result.certificate
    assert np.isfinite([c.primal, c.dual, c.gap]).all() and c.primal <= c.dual and c.gap >= 0
    assert c.multipliers.min() >= 0 and c.multipliers.sum() == pytest.approx(1)
    if np.isfinite(result.w).all() and result.status != "unbounded_norm" and result.norm > 0:
        assert np.all(signs * result.w >= 0) and np.all(result.w[~X.any(axis=0)] == 0)
        kappa = solvers.margins(result.w, X, y)[1 if norm else 0]
        assert kappa == pytest.approx(result.kappa, rel=1e-6, abs=1e-9 * (1 if norm else X.std()))
        assert norm is None or result.norm <= norm * (1 + 1e-12)


@settings(max_examples=100, deadline=None)
@given(tasks(), st.booleans())
def test_separability_agrees_with_linear_programming(task, balanced):
    value = separability(*task, balanced)
    found = solvers.feasibility(*task, balanced)
    if value > SLIGHT:
        assert found.status == "feasible"
    elif value < -SLIGHT or task[0].max() in (0, 1, 2):
        assert found.status == "infeasible"
    else:
        assert found.status != "feasible" or found.certificate.primal > 0


@settings(max_examples=100, deadline=None)
@given(tasks())
def test_largest_input_margin(task):
    X, y, signs = task
    result = solvers.max_kappa_in(X, y, signs)
    check(result, X, y, signs)
    if separability(*task) > 1e-4:
        assert result.status in ("optimal", "unbounded_norm")
        norm = least_norm(X, y, signs, 1.0, True)
        assert norm is None or result.kappa == pytest.approx(1 / norm, rel=2e-6)
    else:
        assert result.kappa <= 1e-3 * np.abs(X).max()


@settings(max_examples=100, deadline=None)
@given(tasks(), st.sampled_from([0.1, 1.0, 10.0, 1000.0]))
def test_largest_output_margin(task, norm):
    X, y, signs = task
    result = solvers.max_kappa_out(X, y, signs, norm)
    check(result, X, y, signs, norm)
    assert result.status in ("optimal", "inseparable_within_norm")
    above, below = (least_norm(X, y, signs, result.kappa + d, False) for d in (1e-5, -1e-5))
    assert above is None or above > norm * (1 - 1e-6)
    assert below is None or below < norm * (1 + 1e-6)
