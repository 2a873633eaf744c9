"""The search that fits its cosine to the children it runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.puzzle.search import calibrated, quadratic
from tessera.puzzle.search import solver as search
from tessera.puzzle.search.calibrated import Run

OBJECTIVE, RUNTIME = "metrics.kl_div", "stats.runtime_ms"
ATTENTION = {"parent": (0.0, 2.0), "kv1": (0.05, 1.5), "no_op": (0.3, 0.0)}
FFN = {"parent": (0.0, 3.0), "ffn50": (0.1, 1.5), "no_op": (0.9, 0.0)}


@pytest.fixture
def library():
    def block(layer, attention, ffn):
        ease = 1 + (5 * layer) % 7
        scores = ATTENTION[attention][0] * ease + FFN[ffn][0] * (8 - ease)
        return {
            "metrics": {"kl_div": scores / 10},
            "stats": {"runtime_ms": ATTENTION[attention][1] + FFN[ffn][1]},
        }

    return {f"layer_{i}": {f"{a}+{f}": block(i, a, f) for a in ATTENTION for f in FFN} for i in range(8)}


def valued(library, cosine):
    """KL as if children were made by this cosine."""
    rooted, root = quadratic.with_roots(library, OBJECTIVE)
    return lambda choice: quadratic.value(rooted, choice, OBJECTIVE, root, cosine)


BUDGETS = {"little": {RUNTIME: 34.0}, "much": {RUNTIME: 22.0}}


@given(st.floats(0, 2), st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 5)), min_size=1, max_size=9))
def test_the_cosine_by_which_children_were_made_is_fitted(cosine, sums):
    runs = [Run({}, s, q, s + cosine * q) for s, q in sums]
    expected = cosine if any(q > 1e-9 for _, q in sums) else None
    found = calibrated.fit(runs)
    assert found >= 0 and (expected is None or found == pytest.approx(expected, abs=1e-5))


def test_children_that_tell_nothing_give_no_cosine():
    assert calibrated.fit([]) == 0
    assert calibrated.fit([Run({}, 0.3, 0.0, 0.5), Run({}, 0.3, 2.0, 0.0)]) == 0
    assert calibrated.fit([Run({}, 0.3, 2.0, 0.1)]) == 0  # less than the sum: no cosine below 0


def test_errors_are_relative():
    """A child of a hundredth of the KL weighs as much as the others."""
    runs = [Run({}, 0.0, 1.0, 0.1), Run({}, 0.0, 0.01, 0.003)]
    assert calibrated.fit(runs) == pytest.approx((10 + 10 / 3) / (100 + 100 / 9))


@pytest.mark.parametrize("cosine", [0.0, 0.02, 0.4])
def test_the_optimum_of_the_true_cosine_is_found(library, cosine):
    found = calibrated.solve(library, OBJECTIVE, BUDGETS, {}, [0.0, 0.1], valued(library, cosine))
    rooted, root = quadratic.with_roots(library, OBJECTIVE)
    assert found.cosine == pytest.approx(cosine, abs=1e-9)
    for key, limits in BUDGETS.items():
        best = quadratic.solve(rooted, OBJECTIVE, root, cosine, limits)
        assert found.solutions[key].value == pytest.approx(best.value, rel=1e-5)


def test_no_child_that_was_run_and_keeps_the_budget_is_better(library):
    """KL is unlike any prediction, so that the best child of a budget may be another one's optimum."""
    measured = {}

    def kl(choice):
        blocks = tuple(choice.values())
        assert blocks not in measured, "run twice"
        measured[blocks] = 1 + sum(map(len, blocks)) * 31 % 97
        return measured[blocks]

    found = calibrated.solve(library, OBJECTIVE, BUDGETS, {}, [0.0, 0.1, 0.5], kl)
    assert {tuple(run.choice.values()) for run in found.runs} == set(measured)
    for key, limits in BUDGETS.items():
        solution = found.solutions[key]
        assert search.feasible(library, solution.choice, limits) and solution.costs[RUNTIME] <= limits[RUNTIME]
        within = [run.kl for run in found.runs if search.feasible(library, run.choice, limits)]
        assert measured[tuple(solution.choice.values())] == min(within)
        assert solution.value == pytest.approx(valued(library, found.cosine)(solution.choice))
        assert solution.status in ("optimal", "heuristic") and solution.bound <= solution.value * (1 + 1e-6)


def test_a_budget_that_nothing_keeps_is_infeasible(library):
    found = calibrated.solve(library, OBJECTIVE, {"none": {RUNTIME: -1.0}}, {}, [0.0, 0.1], lambda choice: 1.0)
    assert found.solutions["none"].status == "infeasible" and not found.runs and found.cosine == 0
