"""The search against brute force, and what must hold of any answer."""

import itertools
import math
import random as stdlib_random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_libraries import SCORE, SIZE, TIME, brute_force, libraries, library

from tessera.puzzle import search
from tessera.puzzle.search import diverse, frontier, program, solve

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
TIGHT = dict(rel=1e-8, abs=1e-9)


def share(lib, key, portion):
    """Limit between the least and the greatest sum of a key."""
    section, name = key.split(".")
    sums = [[e[section][name] for e in vs.values()] for vs in lib.values()]
    least, most = sum(map(min, sums)), sum(map(max, sums))
    return least + portion * (most - least)


def agrees(found, wanted, lib, objective=SCORE):
    if not wanted:
        assert found.status == "infeasible" and found.choice == {} and found.value is None
        return
    assert found.status == "optimal"
    assert found.value == pytest.approx(float(wanted[0][0]), **TIGHT)
    feasible = [choice for _, choice in wanted]
    assert found.choice in feasible


@EXAMPLES
@given(libraries(), st.floats(-0.05, 1), st.booleans())
def test_one_budget_against_brute_force(lib, portion, bigger):
    budget = {TIME: share(lib, TIME, portion)}
    found = solve(lib, SCORE, budget, bigger_is_better=bigger)
    agrees(found, brute_force(lib, SCORE, budget, bigger_is_better=bigger), lib)
    if found.status == "optimal":
        worse = found.bound >= found.value if bigger else found.bound <= found.value
        assert worse and found.bound == pytest.approx(found.value, **TIGHT)
        relaxed = found.relaxation >= found.value if bigger else found.relaxation <= found.value
        assert relaxed and all(price >= 0 for price in found.shadow_prices.values())


@EXAMPLES
@given(libraries(), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_ranges_and_lower_limits_against_brute_force(lib, low, high, floor):
    at_most = {TIME: share(lib, TIME, high)}
    at_least = {TIME: share(lib, TIME, low * high), SIZE: math.floor(share(lib, SIZE, floor))}
    agrees(solve(lib, SCORE, at_most, at_least), brute_force(lib, SCORE, at_most, at_least), lib)


@EXAMPLES
@given(libraries(), st.floats(0, 1), st.integers(0, 4), st.integers(0, 10**6))
def test_differing_solutions_against_brute_force(lib, portion, least, seed):
    draw = stdlib_random.Random(seed)
    earlier = [{layer: draw.choice(sorted(vs)) for layer, vs in lib.items()} for _ in range(2)]
    least = min(least, len(lib))
    budget = {TIME: share(lib, TIME, portion)}
    found = solve(lib, SCORE, budget, different_from=earlier, min_difference=least)
    agrees(found, brute_force(lib, SCORE, budget, different_from=earlier, least=least), lib)


@EXAMPLES
@given(libraries(), st.floats(0, 1), st.integers(0, 10**6))
def test_choice_is_the_same_for_both_solvers_and_any_order(lib, portion, seed):
    budget = {TIME: share(lib, TIME, portion), SIZE: math.ceil(share(lib, SIZE, portion))}
    draw = stdlib_random.Random(seed)
    shuffled = {
        la: dict(draw.sample(sorted(lib[la].items()), len(lib[la]))) for la in draw.sample(sorted(lib), len(lib))
    }
    highs, cbc = solve(lib, SCORE, budget), solve(shuffled, SCORE, budget, solver="cbc")
    assert (highs.choice, highs.value, highs.costs) == (cbc.choice, cbc.value, cbc.costs)


def test_of_many_equal_optima_both_solvers_take_one():
    lib = library([[1, 0]] * 12, [[0, 1]] * 12)
    budget = {TIME: 6}  # any 6 of the 12 layers: 924 equal optima
    first = solve(lib, SCORE, budget)
    assert first.value == 6
    assert all(solve(lib, SCORE, budget, solver=s).choice == first.choice for s in ("highs", "cbc"))


def test_equal_optima_by_rounding_alone_count_as_equal():
    # 0.1 + 0.2 and 0.3 + 0.0 differ in the last bit; exact comparison would let the order of layers decide.
    lib = library([[0.1, 0.3], [0.2, 0.0]], [[1, 2], [1, 0]])
    other = library([[0.2, 0.0], [0.1, 0.3]], [[1, 0], [1, 2]])
    assert solve(lib, SCORE, {TIME: 2}).value == pytest.approx(0.1)  # v0 and v1: 0.1 + 0.0, 1 + 0
    assert solve(other, SCORE, {TIME: 2}).value == pytest.approx(0.1)


def test_a_cheaper_variant_of_equal_score_is_preferred():
    lib = library([[0.5, 0.5, 0.5]] * 3, [[3, 1, 2]] * 3)
    assert set(solve(lib, SCORE, {TIME: 100}).choice.values()) == {"v1"}


def test_without_budgets_every_layer_takes_its_best():
    lib = library([[3, 1, 2], [0, 5, 9]], [[1, 1, 1]] * 2)
    assert solve(lib, SCORE).choice == {"layer_0": "v1", "layer_1": "v0"}
    assert solve(lib, SCORE, bigger_is_better=True).choice == {"layer_0": "v0", "layer_1": "v2"}


def test_budget_met_exactly_by_floats_is_feasible():
    lib = library([[1.0, 0.0]] * 3, [[0.0, 0.1], [0.0, 0.2], [0.0, 0.3]])
    assert 0.1 + 0.2 + 0.3 > 0.6  # by the last bit
    assert solve(lib, SCORE, {TIME: 0.6}).value == 0.0


def test_integer_budgets_are_exact_where_a_relative_tolerance_is_not():
    lib = library([[1.0, 0.0]], [[1.0, 2.0]], [[10**12, 10**12 + 1]])
    assert solve(lib, SCORE, {SIZE: 10**12}).choice == {"layer_0": "v0"}
    assert solve(lib, SCORE, {SIZE: 10**12 + 1}).choice == {"layer_0": "v1"}


@EXAMPLES
@given(libraries(), st.lists(st.floats(-0.1, 1), min_size=2, max_size=5))
def test_frontier_is_monotone_and_each_point_is_its_own_optimum(lib, portions):
    limits = [share(lib, TIME, p) for p in portions]
    points = frontier(lib, SCORE, TIME, limits)
    for limit, point in zip(limits, points, strict=True):
        alone = solve(lib, SCORE, {TIME: limit})
        assert (point.status, point.choice, point.value) == (alone.status, alone.choice, alone.value)
    ordered = [p for _, p in sorted(zip(limits, points, strict=True), key=lambda one: one[0])]
    values = [math.inf if p.value is None else p.value for p in ordered]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(values))


def test_shadow_price_bounds_what_a_unit_of_budget_is_worth():
    lib = library([[9.0, 5.0, 2.0, 0.0]] * 6, [[0.0, 1.0, 2.0, 3.0]] * 6)
    points = frontier(lib, SCORE, TIME, [6.0, 7.0])
    assert points[0].shadow_prices[f"at_most {TIME}"] >= points[0].value - points[1].value - 1e-9
    assert points[0].shadow_prices[f"at_most {TIME}"] == pytest.approx(3.0, abs=1.0)  # the slopes at 1 are 4 and 3


@EXAMPLES
@given(libraries(), st.floats(0, 1), st.floats(0, 1))
def test_smallest_feasible_limits_are_feasible_and_a_hair_less_is_not(lib, high, floor):
    at_most = {TIME: share(lib, TIME, high)}
    at_least = {SIZE: share(lib, SIZE, floor) + 0.5}
    found = solve(lib, SCORE, at_most, at_least)
    if found.status == "optimal":
        assert found.smallest_feasible == {}
        return
    for (name, nearest), limits, sign in zip(
        found.smallest_feasible.items(), (at_most, at_least), (1, -1), strict=True
    ):
        key = name.split()[1]
        assert key in limits

        def status(value, limits=limits, key=key):
            other = at_least if limits is at_most else at_most
            pair = ({key: value}, other) if limits is at_most else (other, {key: value})
            return solve(lib, SCORE, *pair).status

        if nearest is None:
            assert status(sign * 1e6) == "infeasible"
        else:
            assert status(nearest) == "optimal"
            assert status(nearest - sign * 1e-5 * max(1, abs(nearest))) == "infeasible"


def test_infeasible_difference_says_what_would_do():
    lib = library([[1, 0]] * 3, [[1, 2]] * 3)
    earlier = [{f"layer_{i}": "v0" for i in range(3)}]
    found = solve(lib, SCORE, {TIME: 4}, different_from=earlier, min_difference=2)
    assert found.smallest_feasible == {f"at_most {TIME}": 5, "min_difference": 1}


def test_diverse_solutions_differ_and_come_best_first():
    lib = library([[0, 1, 2]] * 4, [[2, 1, 0]] * 4)
    found = diverse(lib, SCORE, 3, 2, at_most={TIME: 6})
    assert len(found) == 3
    assert [s.value for s in found] == sorted(s.value for s in found)
    for one, other in itertools.combinations(found, 2):
        assert sum(one.choice[la] != other.choice[la] for la in lib) >= 2
    assert len(diverse(library([[0, 1]], [[0, 0]]), SCORE, 5, 1)) == 2


def test_a_selection_that_breaks_a_budget_by_a_hair_is_cut_off(monkeypatch):
    lib = library([[1.0, 0.0, 0.5]], [[0.0, 1.0, 0.5]])
    honest, asked = program._solve, []

    def careless(objective, rows, *rest, **options):
        """A solver with a tolerance of 50 %."""
        asked.append(len(rows))
        loose = [program.Row(r.name, r.coefficients, r.limit * (1.5 if r.name != "cut" else 1)) for r in rows]
        return honest(objective, loose, *rest, **options)

    monkeypatch.setattr(program, "_solve", careless)
    found = solve(lib, SCORE, {TIME: 0.7})
    assert found.choice == {"layer_0": "v2"}
    assert asked[:3] == [1, 1, 2]  # the relaxation, the program, the program with one selection cut off


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at_most": {"stats.nothing": 1}}, r"layer_0, 'v0' has no stats\.nothing; it has metrics\.kl_div, stats"),
        ({"objective": "kl_div"}, r"layer_0, 'v0' has no kl_div"),
        ({"at_most": {TIME: math.nan}}, r"at_most stats\.runtime_ms = nan; expected a finite number"),
        ({"min_difference": 3}, r"min_difference = 3; expected 0 to 2 layers"),
        ({"different_from": [{"layer_0": "v7"}], "min_difference": 1}, r"layer_0: the earlier choice 'v7'"),
        ({"solver": "gurobi"}, r"solver is 'gurobi'; expected 'highs' or 'cbc'"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        solve(library([[1, 0]] * 2, [[0, 1]] * 2), **{"objective": SCORE, **change})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, r"layer_1, 'v0': stats\.runtime_ms = nan; expected a finite number"),
        (-1.0, r"layer_1, 'v0': stats\.runtime_ms = -1\.0; a cost must not be negative"),
        ("fast", r"layer_1, 'v0': stats\.runtime_ms = 'fast'; expected a number"),
        (True, r"layer_1, 'v0': stats\.runtime_ms = True; expected a number"),
    ],
)
def test_bad_entries_are_refused(value, message):
    lib = library([[1, 0]] * 2, [[0, 1]] * 2)
    lib["layer_1"]["v0"]["stats"]["runtime_ms"] = value
    with pytest.raises(ValueError, match=message):
        solve(lib, SCORE, {TIME: 1})


def test_feasible_uses_the_tolerance_of_the_whole_library():
    lib = library([[1.0, 0.0]] * 3, [[0.0, 0.1], [0.0, 0.2], [0.0, 0.3]])
    choice = {layer: "v1" for layer in lib}
    assert search.feasible(lib, choice, {TIME: 0.6}) and not search.feasible(lib, choice, {TIME: 0.5999})


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_many_layers_that_are_alike_are_one_knapsack(solver):
    """A search by exchanging equal layers would not end: 30 of them, with 24 costs that no two sums share."""
    rng = np.random.default_rng(0)
    variants = {
        f"v{n}": {"stats": {"ms": float(c), "parameters": int(p)}}
        for n, (c, p) in enumerate(zip(rng.uniform(1, 100, 24), rng.integers(1, 10**6, 24), strict=True))
    }
    lib = {f"layer_{i}": variants for i in range(30)}
    most = sum(v["stats"]["ms"] for v in variants.values()) / 24 * 30
    found = search.solve(lib, "stats.parameters", {"stats.ms": 0.7 * most}, bigger_is_better=True, solver=solver)
    assert found.status == "optimal"
    assert found.value == found.bound <= found.relaxation
    assert found.costs["stats.ms"] <= 0.7 * most
    assert found.relaxation - found.value < 10**6
