"""Baselines keep the budgets, never beat the program, and are what they say."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_libraries import SCORE, SIZE, TIME, brute_force, libraries, library

from tessera.puzzle import search
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.search import baselines, quadratic, solve

EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
METHODS = ("greedy", "homogeneous", "max_params", "random")


def renamed(lib):
    """Variants named as composed blocks, so that all methods apply."""
    names = ["parent+parent", "no_op+parent", "parent+no_op", "parent+ffn50"]
    return {la: {names[int(v[1:])]: e for v, e in vs.items()} for la, vs in lib.items()}


@EXAMPLES
@given(libraries(), st.floats(0, 1), st.sampled_from([*METHODS, "no_op_only", "mip", "quadratic"]), st.integers(0, 99))
def test_none_beats_the_program_and_all_keep_the_budgets(lib, portion, method, seed):
    lib = renamed(lib)
    times = [[e["stats"]["runtime_ms"] for e in vs.values()] for vs in lib.values()]
    least, most = sum(map(min, times)), sum(map(max, times))
    budget = {TIME: least + portion * (most - least)}
    generator = np.random.default_rng(seed)
    found = baselines.choose(method, lib, SCORE, budget, {}, generator=generator, cosine=0.1)
    best = solve(lib, SCORE, budget)
    assert found.status in {"heuristic", "infeasible", "optimal"} and (found.status == "optimal") == (
        method in ("mip", "quadratic")
    )
    if found.status == "infeasible":
        assert method in ("greedy", "homogeneous", "no_op_only", "random") and found.choice == {}
    else:
        assert search.feasible(lib, found.choice, budget)
        assert found.value >= best.value - 1e-9
        if method == "quadratic":
            return
        assert found.value == pytest.approx(sum(lib[la][v]["metrics"]["kl_div"] for la, v in found.choice.items()))
        assert found.costs[TIME] == pytest.approx(
            sum(lib[la][v]["stats"]["runtime_ms"] for la, v in found.choice.items())
        )


def test_greedy_goes_from_the_most_replaceable_layer_and_passes_leftovers_on():
    # Mean scores: layer_1 first (0.5), then layer_0 (4.5). The share of 5 buys layer_1 its 2; what is left, 8, buys
    # layer_0 its 8, which its own share of 5 would not have.
    lib = library([[9, 0], [1, 0]], [[1, 8], [1, 2]])
    found = baselines.greedy(lib, SCORE, {TIME: 10})
    assert found.choice == {"layer_0": "v1", "layer_1": "v1"} and found.value == 0


def test_greedy_is_short_sighted_where_the_program_is_not():
    lib = library([[10, 0], [1, 0], [1, 0]], [[1, 9], [1, 4], [1, 4]])
    assert baselines.greedy(lib, SCORE, {TIME: 12}).value == 10
    assert solve(lib, SCORE, {TIME: 12}).value == 2


def test_greedy_takes_the_smaller_excess_where_nothing_fits_and_says_when_it_ends_outside():
    lib = library([[0, 1], [9, 9]], [[4, 3], [1, 5]])
    found = baselines.greedy(lib, SCORE, {TIME: 4})
    assert found.choice == {"layer_0": "v1", "layer_1": "v0"}
    assert baselines.greedy(lib, SCORE, {TIME: 3.9}).status == "infeasible"


@EXAMPLES
@given(libraries(), st.floats(0, 1))
def test_max_params_has_the_most_parameters(lib, portion):
    times = [[e["stats"]["runtime_ms"] for e in vs.values()] for vs in lib.values()]
    budget = {TIME: sum(map(min, times)) + portion * sum(map(max, times))}
    found = baselines.max_params(lib, SCORE, budget)
    assert found.costs[SIZE] == brute_force(lib, SIZE, budget, bigger_is_better=True)[0][0]


def test_homogeneous_is_the_best_variant_that_all_layers_have():
    lib = library([[5, 1, 0], [5, 1, 0]], [[0, 1, 2], [0, 1, 2]])
    assert baselines.homogeneous(lib, SCORE, {TIME: 3}).choice == {"layer_0": "v1", "layer_1": "v1"}
    assert baselines.homogeneous(lib, SCORE, {}, {TIME: 5}).status == "infeasible"
    del lib["layer_1"]["v1"]
    assert baselines.homogeneous(lib, SCORE, {TIME: 3}).choice == {"layer_0": "v0", "layer_1": "v0"}


def test_random_is_uniform_over_what_is_feasible():
    lib = library([[0, 0, 0]] * 2, [[0, 1, 2]] * 2)  # 6 of 9 choices spend 2 or less
    generator = np.random.default_rng(0)
    drawn = [tuple(baselines.random(lib, SCORE, {TIME: 2}, generator=generator).choice.values()) for _ in range(1200)]
    counts = [drawn.count(choice) for choice in set(drawn)]
    assert len(counts) == 6
    assert sum((c - 200) ** 2 / 200 for c in counts) < 20.5  # chi-squared, 5 degrees of freedom, p = .001


def test_random_is_repaired_where_rejection_fails_and_repeats_with_its_seed():
    lib = library([[0, 0, 0]] * 30, [[0, 1, 2]] * 30)
    one, same, other = (
        baselines.random(lib, SCORE, {TIME: 3}, {TIME: 2}, generator=np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert one.status == "heuristic" and 2 <= one.costs[TIME] <= 3
    assert one == same and one.choice != other.choice
    with_none = baselines.random(lib, SCORE, {TIME: 3}, {TIME: 4}, generator=np.random.default_rng(0))
    assert with_none.status == "infeasible"


def test_no_op_only_replaces_nothing_by_anything_else():
    lib = renamed(library([[0, 2, 3, 1]] * 3, [[4, 2, 2, 3]] * 3))
    found = baselines.no_op_only(lib, SCORE, {TIME: 9})
    assert set(found.choice.values()) <= {"parent+parent", "no_op+parent", "parent+no_op"}
    assert found.value == 4 and solve(lib, SCORE, {TIME: 9}).value == 3


SPACE = Space(
    attention={
        "kv1": Attention(kind="gqa", kv_heads=1),
        "window": Attention(kind="gqa", window=8),
        "linear": Attention(kind="linear"),
        "gone": Attention(kind="no_op"),
    },
    ffn={"ffn50": FFN(kind="gated", width=0.5), "nothing": FFN(kind="no_op")},
)


def test_blocks_of_one_size_are_those_of_a_plain_class():
    whole, dropped = SPACE.one_size()
    assert whole == ["parent+parent", "parent+ffn50", "kv1+parent", "kv1+ffn50"] and dropped == ["gone+nothing"]
    assert Space(attention={}, ffn={}).one_size() == (["parent+parent"], [])


@EXAMPLES
@given(st.integers(0, 10**6), st.floats(0, 1), st.sampled_from([0.0, 0.3]))
def test_stock_children_are_the_best_of_one_size(seed, portion, cosine):
    """Against all choices of one size, valued one by one."""
    rng = np.random.default_rng(seed)
    names = [f"{a}+{f}" for a in SPACE.attentions() for f in SPACE.ffns()]
    scores = {name: (0.0, 0.0) if name == "parent+parent" else tuple(rng.random(2)) for name in names}
    lib = {
        f"layer_{i}": {
            name: {"metrics": {"kl_div": s * (i + 1)}, "stats": {"runtime_ms": float(t + 1)}}
            for name, (s, t) in scores.items()
        }
        for i in range(3)
    }
    budget = {TIME: 3 * portion * 2}
    found = baselines.stock(lib, SCORE, budget, {}, SPACE, cosine)
    rooted, root = quadratic.with_roots(lib, SCORE)
    whole, dropped = SPACE.one_size()
    values = [
        quadratic.value(rooted, choice, SCORE, root, cosine)
        for block in whole
        for blocks in itertools.product([block, *dropped], repeat=3)
        if set(blocks) != set(dropped) and search.feasible(lib, choice := dict(zip(lib, blocks, strict=True)), budget)
    ]
    assert found.status == ("heuristic" if values else "infeasible")
    if values:
        assert found.value == pytest.approx(min(values), rel=1e-5)
        assert len(set(found.choice.values()) - set(dropped)) == 1


def test_stock_needs_the_space():
    lib = renamed(library([[0, 2, 3, 1]] * 3, [[4, 2, 2, 3]] * 3))
    with pytest.raises(ValueError, match="stock needs the search space"):
        baselines.choose("stock", lib, SCORE, {}, {}, generator=np.random.default_rng(0))
