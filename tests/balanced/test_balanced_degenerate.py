"""Degenerate, rescaled, duplicated, empty and nearly inseparable tasks: every answer holds against other solvers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from tessera.balanced import samples, separability, solvers
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
    for change in draw(
        st.lists(st.sampled_from(["silent", "empty", "equal", "multiple", "copy", "faint"]), max_size=2)
    ):
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


def game_value(X, y, signs, balanced=False):
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
    solver.setup(
        np.diag(np.r_[np.ones(n), 0.0]), np.zeros(n + 1), None, None, rows, np.full(count, kappa), None, low, high
    )
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


@settings(max_examples=30, deadline=None)
@given(tasks(), st.booleans())
def test_separability_agrees_with_linear_programming(task, balanced):
    value = game_value(*task, balanced)
    found = separability.feasibility(*task, balanced)
    if value > SLIGHT:
        assert found.status == "feasible"
    elif value < -SLIGHT or task[0].max() in (0, 1, 2):
        assert found.status == "infeasible"
    else:
        assert found.status != "feasible" or found.certificate.primal > 0


@settings(max_examples=30, deadline=None)
@given(tasks())
def test_largest_input_margin(task):
    X, y, signs = task
    result = solvers.max_kappa_in(X, y, signs)
    check(result, X, y, signs)
    if game_value(*task) > 1e-4:
        assert result.status in ("optimal", "unbounded_norm")
        norm = least_norm(X, y, signs, 1.0, True)
        assert norm is None or result.kappa == pytest.approx(1 / norm, rel=2e-6)
    else:
        assert result.kappa <= 1e-3 * np.abs(X).max()


@settings(max_examples=30, deadline=None)
@given(tasks(), st.sampled_from([0.1, 1.0, 10.0, 1000.0]))
def test_largest_output_margin(task, norm):
    X, y, signs = task
    result = solvers.max_kappa_out(X, y, signs, norm)
    check(result, X, y, signs, norm)
    assert result.status in ("optimal", "inseparable_within_norm")
    above, below = (least_norm(X, y, signs, result.kappa + d, False) for d in (1e-5, -1e-5))
    assert above is None or above > norm * (1 - 1e-6)
    assert below is None or below < norm * (1 + 1e-6)


@settings(max_examples=6, deadline=None)
@example((np.tile([2.0, 1.0, 2.0], (2, 1)), LABELS, np.array([1.0, -1.0, 1.0])), 0.3, 0)
@given(tasks(), st.sampled_from([0.3, 5.0]), st.integers(0, 2**32 - 1))
def test_a_warm_start_from_anywhere_gives_the_answer_of_a_cold_one(task, norm, seed):
    """From its own optimum, from that in other units or disturbed, and from another problem's."""
    X, y, signs = task
    rng = np.random.default_rng(seed)
    other = solvers.max_kappa_out(rng.exponential(size=X.shape), y, signs, 1.0)
    for solve in (solvers.max_kappa_in, lambda *a, **k: solvers.max_kappa_out(*a, norm, **k)):
        cold = solve(*task)
        disturbed = replace(cold, w=cold.w * rng.uniform(0.5, 2, len(signs)))
        for start in (cold, replace(cold, w=1e3 * cold.w), disturbed, other):
            warm = solve(*task, start=start)
            assert warm.status == cold.status
            assert warm.kappa == pytest.approx(cold.kappa, rel=2e-6, abs=1e-11)


@settings(max_examples=12, deadline=None)
@given(tasks(), st.sampled_from([1e-100, 1e-6, 1e-3, 0.7, 1e3, 1e6, 1e100]))
def test_answers_do_not_depend_on_the_unit_of_activity(task, unit):
    X, y, signs = task
    assert separability.feasibility(X * unit, y, signs).status == separability.feasibility(X, y, signs).status
    out, scaled = solvers.max_kappa_out(X, y, signs, 2.0), solvers.max_kappa_out(X * unit, y, signs, 2.0 / unit)
    assert scaled.status == out.status and scaled.kappa == pytest.approx(out.kappa, rel=2e-6, abs=1e-11)
    free, scaled = solvers.max_kappa_in(X, y, signs), solvers.max_kappa_in(X * unit, y, signs)
    assert scaled.status == free.status and scaled.kappa / unit == pytest.approx(free.kappa, rel=2e-6, abs=1e-11)


def test_a_warm_start_whose_bound_on_the_norm_is_slack():
    X, y, signs = np.array([[1.0], [2.0]]), LABELS[::-1], np.array([1.0])
    cold = solvers.max_kappa_out(X, y, signs, 5.0)
    warm = solvers.max_kappa_out(X, y, signs, 5.0, start=cold)
    assert (cold.status, warm.status) == ("optimal", "optimal")
    assert warm.kappa == pytest.approx(1 / 3, rel=1e-8) and warm.norm == pytest.approx(2 / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("X", "y"),
    [
        ([[1, 2], [1, 2], [0, 3]], [1, -1, -1]),  # equal patterns, opposite labels
        ([[1, 2], [3, 6]], [1, -1]),  # a pattern and its multiple
        ([[0.0, 0.0], [2, 4]], [1, -1]),  # an empty pattern that asks for an answer
        ([[0.0, 0.0], [0, 0]], [1, -1]),  # nothing is ever active
    ],
)
def test_tasks_that_miss_a_solution_by_nothing_are_inseparable(X, y):
    task = np.array(X, float), y, [1, -1]
    assert solvers.max_kappa_in(*task).status == "inseparable"
    assert solvers.max_kappa_out(*task, 1.0).status == "inseparable_within_norm"
    assert {separability.feasibility(*task, b).status for b in (False, True)} == {"infeasible"}


@pytest.mark.parametrize("norm", [None, 0.5, 50.0, 1e4])
def test_silent_afferents_have_no_weight(norm):
    aff = Afferents(0.7, 0.4, 2**0.5, 2.0)
    X, y, signs = samples.exponential_gamma(np.random.default_rng(0), 20, 10, aff)
    X[:, [3, 15]] = 0
    active = X.any(axis=0)
    solve = solvers.max_kappa_in if norm is None else lambda *a: solvers.max_kappa_out(*a, norm)
    result, without = solve(X, y, signs), solve(X[:, active], y, signs[active])
    assert np.all(result.w[~active] == 0) and solvers.silent(result, X, y, signs)[~active].all()
    assert (result.status, result.kappa) == (without.status, pytest.approx(without.kappa, rel=1e-12))


@pytest.mark.parametrize("margin", [1e-3, 1e-6, 1e-9, 1e-11])
def test_a_task_that_is_barely_separable(margin):
    """kappa_in is half of the difference of the two drives."""
    X, y = np.array([[1.0 + 2 * margin], [1.0]]), [1, -1]
    result = solvers.max_kappa_in(X, y, [1])
    assert result.status in ("optimal", "inaccurate") and result.kappa == pytest.approx(margin, rel=1e-3)
    assert separability.feasibility(X, y, [1]).status == "feasible"
    assert solvers.max_kappa_in(X[::-1], y, [1]).status == "inseparable"


def test_numbers_that_contradict_each_other_are_no_result():
    proof = solvers.max_kappa_out([[1.0], [2.0]], [-1, 1], [1], 5.0)
    for change in ({"dual": 0.0}, {"gap": np.nan}, {"primal": -np.inf}):
        with pytest.raises(ArithmeticError, match="not a proof"):
            replace(proof.certificate, **change)
    for status in ("inseparable", "inseparable_within_norm", "undecided"):
        with pytest.raises(ArithmeticError, match="contradicts"):
            replace(proof, status=status)


def test_a_start_of_another_shape_and_a_bad_tolerance_are_named():
    X, y, signs = np.array([[1.0, 0.3], [2.0, 0.1]]), [-1, 1], [1, -1]
    start = solvers.max_kappa_out(X[:, :1], y, signs[:1], 5.0)
    with pytest.raises(ValueError, match="start: 1 weights and 2 multipliers"):
        solvers.max_kappa_out(X, y, signs, 5.0, start=start)
    for tolerance in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="tolerance"):
            solvers.max_kappa_in(X, y, signs, tolerance=tolerance)
    with pytest.raises(ValueError, match="norm times the spread of X"):
        solvers.max_kappa_out(1e200 * X, y, signs, 1e200)
