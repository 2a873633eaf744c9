"""The search with interactions, against every choice there is."""

import itertools
import math
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.puzzle import search
from tessera.puzzle.search import quadratic

OBJECTIVE, ROOT, TIME = "metrics.kl_div", "metrics.root", "stats.runtime_ms"
numbers = st.floats(0, 1, allow_subnormal=False).map(lambda x: round(x, 6))


@st.composite
def libraries(draw):
    return {
        f"layer_{i}": {
            f"v{j}": {
                "stats": {"runtime_ms": draw(numbers)},
                "metrics": {"kl_div": draw(numbers), "root": draw(numbers)},
            }
            for j in range(draw(st.integers(1, 4)))
        }
        for i in range(draw(st.integers(1, 5)))
    }


def every(library):
    for names in itertools.product(*library.values()):
        yield dict(zip(library, names, strict=True))


def form(library, choice, cosine):
    """The objective as a sum over pairs."""
    blocks = [library[layer][variant]["metrics"] for layer, variant in choice.items()]
    pairs = itertools.combinations([block["root"] for block in blocks], 2)
    return sum(block["kl_div"] for block in blocks) + 2 * cosine * sum(a * b for a, b in pairs)


@pytest.mark.parametrize("most", [1, 20_000])
@settings(max_examples=60, deadline=None)
@given(library=libraries(), cosine=st.sampled_from([0.0, 0.04, 0.5, 1.0, 30.0]), share=st.floats(0.1, 1.0))
def test_the_optimum_of_all_choices(most, library, cosine, share):
    """Whether combinations are tried at once or programs with tangents are solved."""
    times = [sum(library[la][v]["stats"]["runtime_ms"] for la, v in c.items()) for c in every(library)]
    budget = min(times) + share * (max(times) - min(times))
    with mock.patch.object(quadratic, "_MOST", most):
        found = quadratic.solve(library, OBJECTIVE, ROOT, cosine, at_most={TIME: budget})
    within = [c for c in every(library) if search.feasible(library, c, {TIME: budget})]
    least = min(form(library, choice, cosine) for choice in within)
    assert found.status == "optimal" and search.feasible(library, found.choice, {TIME: budget})
    assert math.isclose(found.value, form(library, found.choice, cosine), rel_tol=1e-9, abs_tol=1e-12)
    assert found.value <= least + 2e-6 * abs(least) + 1e-12
    assert found.bound <= min(least + 1e-12, found.value)
    assert found.bound >= found.value - 2e-6 * abs(found.value)


def test_without_interactions_it_is_the_linear_search(tmp_path):
    library = {
        f"layer_{i}": {
            f"v{j}": {"stats": {"runtime_ms": 3.0 - j}, "metrics": {"kl_div": 0.1 * j * (i + 1), "root": 0.3 * j}}
            for j in range(3)
        }
        for i in range(6)
    }
    plain = search.solve(library, OBJECTIVE, {TIME: 12.0})
    found = quadratic.solve(library, OBJECTIVE, ROOT, 0.0, {TIME: 12.0})
    assert found.choice == plain.choice and math.isclose(found.value, plain.value)
    assert found.shadow_prices == plain.shadow_prices and found.costs == plain.costs


def test_reinforcing_exchanges_are_spread_over_what_does_not_interact():
    block = {"stats": {"runtime_ms": 1.0}, "metrics": {"kl_div": 0.0, "root": 0.0}}
    attention = {"stats": {"runtime_ms": 0.0}, "metrics": {"kl_div": 0.1, "root": math.sqrt(0.1)}}
    ffn = {"stats": {"runtime_ms": 0.0}, "metrics": {"kl_div": 0.12, "root": 0.0}}
    library = {f"layer_{i}": {"parent": block, "attention": attention, "ffn": ffn} for i in range(8)}
    plain = search.solve(library, OBJECTIVE, {TIME: 2.0})
    found = quadratic.solve(library, OBJECTIVE, ROOT, 0.1, {TIME: 2.0})
    assert sorted(plain.choice.values()).count("attention") == 6
    # One more attention among n costs 0.1 + 2 * 0.1 * 0.1 * n, an FFN 0.12: two attentions are the best, or one.
    assert sorted(found.choice.values()).count("attention") in (1, 2)
    assert math.isclose(found.value, 0.1 + 5 * 0.12)


def test_a_variant_stays_if_what_dominates_it_is_ruled_out():
    """A choice may need a variant that is worse in all numbers but the root, which the square alone asks for."""
    library = {
        "layer_0": {
            f"v{j}": {"stats": {"runtime_ms": 0.0}, "metrics": {"kl_div": kl, "root": root}}
            for j, (kl, root) in enumerate([(0.0, 0.5), (0.0, 0.5), (1.0, 0.0), (0.0, 0.5)])
        },
        "layer_1": {
            f"v{j}": {"stats": {"runtime_ms": 0.0}, "metrics": {"kl_div": 0.0, "root": root}}
            for j, root in enumerate([0.0, 1.0])
        },
    }
    with mock.patch.object(quadratic, "_MOST", 1):
        found = quadratic.solve(library, OBJECTIVE, ROOT, 30.0, {TIME: 0.0})
    assert found.value == 0.0


def test_a_choice_that_differs_from_earlier_ones():
    library = {
        f"layer_{i}": {
            f"v{j}": {"stats": {"runtime_ms": 2.0 - j}, "metrics": {"kl_div": 0.1 * j * (i + 1), "root": 0.3 * j}}
            for j in range(3)
        }
        for i in range(4)
    }
    first = quadratic.solve(library, OBJECTIVE, ROOT, 0.1, {TIME: 5.0})
    options = {"different_from": [first.choice], "min_difference": 2}
    second = quadratic.solve(library, OBJECTIVE, ROOT, 0.1, {TIME: 5.0}, **options)
    differing = [c for c in every(library) if sum(c[layer] != first.choice[layer] for layer in c) >= 2]
    within = [c for c in differing if search.feasible(library, c, {TIME: 5.0})]
    assert math.isclose(second.value, min(form(library, choice, 0.1) for choice in within), rel_tol=2e-6)
    assert second.choice in within


def test_what_no_choice_keeps_is_said_as_by_the_linear_search():
    library = {"layer_0": {"v": {"stats": {"runtime_ms": 1.0}, "metrics": {"kl_div": 0.0, "root": 0.0}}}}
    found = quadratic.solve(library, OBJECTIVE, ROOT, 0.1, {TIME: 0.5})
    assert found.status == "infeasible" and found.smallest_feasible == {f"at_most {TIME}": 1.0}


@pytest.mark.parametrize("cosine", [-0.01, math.nan, math.inf])
def test_a_cosine_that_gives_no_bound(cosine):
    with pytest.raises(ValueError, match=r"cosine = .*; expected a finite number, 0 or more"):
        quadratic.solve({}, OBJECTIVE, ROOT, cosine)


def test_a_negative_root_is_named():
    library = {"layer_0": {"v": {"stats": {"runtime_ms": 1.0}, "metrics": {"kl_div": 0.0, "root": -0.5}}}}
    with pytest.raises(ValueError, match=r"layer_0, 'v': metrics\.root = -0\.5; expected 0 or more"):
        quadratic.solve(library, OBJECTIVE, ROOT, 0.1)


def test_a_penalty_that_nothing_takes_changes_nothing():
    def library(penalty):
        return {
            f"layer_{i}": {
                "parent": {"stats": {"runtime_ms": 3.0}, "metrics": {"kl_div": 0.0, "root": 0.0}},
                "cheap": {"stats": {"runtime_ms": 1.0}, "metrics": {"kl_div": 0.1 * i + 0.01, "root": 0.3}},
                "broken": {"stats": {"runtime_ms": 0.0}, "metrics": {"kl_div": penalty, "root": math.sqrt(penalty)}},
            }
            for i in range(5)
        }

    plain, large = (quadratic.solve(library(p), OBJECTIVE, ROOT, 0.1, {TIME: 10.0}) for p in (1e3, 1e100))
    assert "broken" not in plain.choice.values()
    assert (large.choice, large.value, large.status) == (plain.choice, plain.value, "optimal")
    with pytest.raises(ValueError, match=r"metrics\.root: the square of .* is beyond the range of floats"):
        quadratic.solve(library(1e308), OBJECTIVE, ROOT, 1.0, {TIME: 10.0})


def test_roots_are_those_of_the_attention_alone():
    def block(kl):
        return {"stats": {}, "metrics": {"kl_div": kl}}

    blocks = {"parent+parent": 0.01, "no_op+parent": 0.26, "parent+ffn50": 0.11, "no_op+ffn50": 0.36, "kv1+parent": 0.0}
    library = {"layer_0": {name: block(kl) for name, kl in blocks.items()}}
    rooted, key = quadratic.with_roots(library, OBJECTIVE)
    assert key == "metrics.attention_root"
    roots = {name: entry["metrics"]["attention_root"] for name, entry in rooted["layer_0"].items()}
    assert roots == pytest.approx(
        {"parent+parent": 0, "no_op+parent": 0.5, "parent+ffn50": 0, "no_op+ffn50": 0.5, "kv1+parent": 0}
    )
    assert "attention_root" not in library["layer_0"]["no_op+parent"]["metrics"]
    del library["layer_0"]["no_op+parent"]
    with pytest.raises(ValueError, match=r"layer_0: no variant 'no_op\+parent', by which the attention of 'no_op\+ffn"):
        quadratic.with_roots(library, OBJECTIVE)
