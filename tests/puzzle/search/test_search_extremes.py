"""The search over libraries with penalties, sentinels, overflows and costs of many decades, against brute force."""

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_libraries import SCORE, SIZE, TIME, brute_force, library, number

from tessera.puzzle import search
from tessera.puzzle.search import baselines, solve
from tessera.puzzle.search.rows import Row

#: Without shrinking: each step of it is a search.
EXAMPLES = settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
ABSURD = {
    "penalties": [1e6, 1e9, 1e12, 1e15],
    "sentinels": [-1.0, -1e9, 1e9, 10**15, 999_999_999],
    "overflows": [1e300, 1.7e308, -1e308, 5e-324],
}


@st.composite
def extremes(draw, kind):
    """A library of up to 5 layers, some of whose numbers are absurd, or whose costs or scores span 24 decades."""
    layers, variants = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    sane = draw(st.sampled_from([st.integers(0, 9), st.integers(0, 40).map(lambda n: n / 10), st.floats(0, 10)]))
    decades = st.floats(-12, 12).map(lambda x: 10**x)
    columns = [
        [[draw(numbers) for _ in range(variants)] for _ in range(layers)]
        for numbers in (
            decades if kind in ("scores", "both") else sane,
            decades if kind in ("costs", "both") else sane,
            st.integers(0, 9),
        )
    ]
    for _ in range(draw(st.integers(1, 4)) if kind in ABSURD else 0):
        column, i, j = draw(st.integers(0, 2)), draw(st.integers(0, layers - 1)), draw(st.integers(0, variants - 1))
        absurd = draw(st.sampled_from(ABSURD[kind]))
        columns[column][i][j] = absurd if column == 0 else abs(absurd)
    return library(*columns)


def limit(draw, lib, key):
    """A limit that some choice meets exactly, or by a share more or less."""
    spent = sum(number(vs[draw(st.sampled_from(sorted(vs)))], key) for vs in lib.values())
    share = draw(st.one_of(st.just(1.0), st.floats(0.8, 1.3)))
    return float(max(-(Fraction(10) ** 308), min(Fraction(10) ** 308, spent * Fraction(share))))


@pytest.mark.parametrize("solver", ["highs", "cbc"])
@pytest.mark.parametrize("kind", [*ABSURD, "costs", "scores", "both"])
@EXAMPLES
@given(data=st.data())
def test_optimum_and_bounds_against_exact_brute_force(kind, solver, data):
    lib = data.draw(extremes(kind))
    at_most, at_least = (
        {key: limit(data.draw, lib, key) for key in (TIME, SIZE) if data.draw(st.integers(0, 9)) < often}
        for often in (7, 3)
    )
    bigger = data.draw(st.booleans())
    earlier = [{layer: data.draw(st.sampled_from(sorted(vs))) for layer, vs in lib.items()}]
    least = data.draw(st.integers(0, min(2, len(lib))))
    expected = brute_force(lib, SCORE, at_most, at_least, bigger, earlier, least)
    if expected and abs(expected[0][0]) >= 2**1024 * (1 - Fraction(1, 2**54)):
        with pytest.raises(ValueError, match="exceeds the largest float"):
            solve(lib, SCORE, at_most, at_least, bigger, earlier, least, solver=solver)
        return
    solution = solve(lib, SCORE, at_most, at_least, bigger, earlier, least, solver=solver)
    if not expected:
        assert solution.status == "infeasible"
        return
    best, tolerance = expected[0][0], abs(expected[0][0]) / 10**9
    assert solution.status == "optimal" and solution.choice in [choice for _, choice in expected]
    value = sum(number(lib[layer][v], SCORE) for layer, v in solution.choice.items())
    assert abs(value - best) <= tolerance
    assert abs(Fraction(solution.bound) - best) <= tolerance
    sign = -1 if bigger else 1
    assert sign * (Fraction(solution.relaxation) - best) <= tolerance


@EXAMPLES
@given(data=st.data(), solver=st.sampled_from(["highs", "cbc"]))
def test_range_that_holds_nothing_is_infeasible(data, solver):
    """Limits that cross by a hair more than their tolerance, or by less: then they may still hold something."""
    numbers = [[data.draw(st.floats(0, 10)) for _ in range(4)] for _ in range(8)]
    lib = library(numbers[:4], numbers[4:])
    high = limit(data.draw, lib, TIME)
    low = high * (1 + data.draw(st.sampled_from([1e-9, 2.1e-9, 1e-8, 1e-6, 1e-3])))
    solution = solve(lib, SCORE, {TIME: high}, {TIME: low}, solver=solver)
    assert (solution.status == "optimal") == bool(brute_force(lib, SCORE, {TIME: high}, {TIME: low}))


def same(one, other):
    assert (one.status, one.choice, one.value) == (other.status, other.choice, other.value)
    assert one.bound == pytest.approx(other.bound, rel=1e-12, abs=0)
    assert one.relaxation == pytest.approx(other.relaxation, rel=1e-9, abs=0)


def sane(seed):
    rng = np.random.default_rng(seed)
    scores, times = rng.lognormal(-3, 1.5, (8, 6)), rng.uniform(1, 5, (8, 6))
    return library(scores.tolist(), times.tolist()), {TIME: float(times.min(1).sum() * 0.6 + times.mean() * 8 * 0.4)}


@pytest.mark.parametrize("solver", ["highs", "cbc"])
@pytest.mark.parametrize("score", [-1e12, 1e12, -1e308, 1.7e308])
def test_variant_that_breaks_the_budget_has_no_influence(score, solver):
    for seed in range(5):
        lib, budget = sane(seed)
        more = copy.deepcopy(lib)
        for layer in ("layer_2", "layer_5"):
            more[layer]["never"] = {"stats": {"runtime_ms": 1e3, "parameters": 1.0}, "metrics": {"kl_div": score}}
        same(solve(more, SCORE, budget, solver=solver), solve(lib, SCORE, budget, solver=solver))


@pytest.mark.parametrize("solver", ["highs", "cbc"])
@pytest.mark.parametrize("time", [0.0, 2.0, 1e12])
def test_penalty_has_no_influence(time, solver):
    for seed in range(5):
        lib, budget = sane(seed)
        more = copy.deepcopy(lib)
        for layer in ("layer_2", "layer_5"):
            more[layer]["never"] = {"stats": {"runtime_ms": time, "parameters": 1.0}, "metrics": {"kl_div": 1e12}}
        same(solve(more, SCORE, budget, solver=solver), solve(lib, SCORE, budget, solver=solver))


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_sentinel_that_only_two_limits_together_rule_out_has_no_influence(solver):
    for seed in range(5):
        lib, budget = sane(seed)
        for vs in lib.values():
            for entry in vs.values():
                entry["stats"]["parameters"] = 10
        least = [min(entry["stats"]["runtime_ms"] for entry in vs.values()) for vs in lib.values()]
        most = 0.6 * (budget[TIME] - sum(least))  # either of the two fits, but not both
        large = {"stats": {"runtime_ms": least[5] + most, "parameters": 20}, "metrics": {"kl_div": 9.0}}
        never = {"stats": {"runtime_ms": least[2] + most, "parameters": 0}, "metrics": {"kl_div": -1e12}}
        lib["layer_5"]["large"] = large
        more = copy.deepcopy(lib)
        more["layer_2"]["never"] = never
        assert "never" in search.choosable(more, budget, {SIZE: 80})["layer_2"]
        found = solve(more, SCORE, budget, {SIZE: 80}, solver=solver)
        same(found, solve(lib, SCORE, budget, {SIZE: 80}, solver=solver))


def test_absurd_float_does_not_loosen_a_budget_of_integers():
    lib = library([[1.0, 0.0, 0.5]], [[1, 2, 3]], [[10**12, 10**12 + 1, 0.5]])
    assert solve(lib, SCORE, {SIZE: 10**12, TIME: 2}).choice == {"layer_0": "v0"}


@EXAMPLES
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6), st.data())
def test_row_is_kept_in_exact_arithmetic(numbers, data):
    most = data.draw(st.one_of(st.floats(-1e12, 1e12), st.just(math.fsum(n / 8 for n in numbers))))
    row = Row("budget", [[n, 0.0] for n in numbers], most)
    exact = sum(map(Fraction, numbers))
    slack = 0 if exact.denominator == 1 and float(most).is_integer() else Fraction(1e-9) * abs(Fraction(most))
    assert row.holds([0] * len(numbers)) == (exact <= Fraction(most) + slack)


@EXAMPLES
@given(data=st.data(), method=st.sampled_from(["greedy", "random", "homogeneous"]))
def test_baselines_do_not_see_what_cannot_be_chosen(data, method):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    scores, times = rng.uniform(0, 1, (5, 3)), rng.uniform(1, 5, (5, 3))
    lib = library(scores.tolist(), times.tolist())
    budget = {TIME: float(times.mean() * 5)}
    more = copy.deepcopy(lib)
    for i in range(5):
        absurd = data.draw(st.sampled_from([-1e308, -1e12, 1e12, 1.7e308]))
        cost = data.draw(st.sampled_from([1e3, 1e18, 1.7e308]))
        more[f"layer_{i}"]["never"] = {"stats": {"runtime_ms": cost, "parameters": 1}, "metrics": {"kl_div": absurd}}
    one, other = (
        baselines.choose(method, la, SCORE, budget, {}, generator=np.random.default_rng(7)) for la in (lib, more)
    )
    assert one == other


def test_choosable_leaves_out_what_a_limit_rules_out():
    lib = library([[0, 0, 0]] * 2, [[1, 2, 9], [1, 3, 4]])
    assert search.choosable(lib, {TIME: 4}) == {
        "layer_0": {v: lib["layer_0"][v] for v in ("v0", "v1")},
        "layer_1": {v: lib["layer_1"][v] for v in ("v0", "v1")},
    }
    assert search.choosable(lib, {TIME: 1}) == {}
    assert search.choosable(lib) == lib


def test_sums_beyond_the_range_of_floats():
    """A column that limits nothing is left out; one that is asked for is refused by its key, as is no number at all."""
    lib = library([[1.0, 2.0]] * 2, [[1.0, 2.0]] * 2, [[1.7e308, 1]] * 2)
    found = solve(lib, SCORE)
    assert (found.value, found.costs) == (2.0, {TIME: 2.0})
    assert solve(lib, SCORE, {SIZE: 1e308}).value == 4.0
    with pytest.raises(ValueError, match=rf"^{SIZE}: the sum over the layers exceeds the largest float"):
        solve(lib, SCORE, at_least={SIZE: 1e308})
    lib["layer_1"]["v1"]["metrics"]["kl_div"] = 10**400
    with pytest.raises(ValueError, match=rf"layer_1, 'v1': {SCORE} = 10+; expected a finite number"):
        solve(lib, SCORE)
