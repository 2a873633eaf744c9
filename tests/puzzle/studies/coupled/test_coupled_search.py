"""The searches before and after pairs of variants are trained together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.common.params import check
from tessera.puzzle import search
from tessera.puzzle.models.space import PARENT, compose
from tessera.puzzle.search import block_library, budgets
from tessera.puzzle.studies.coupled import search as coupled_search
from tessera.puzzle.studies.coupled.pairs import MARK, plain
from tessera.puzzle.studies.coupled.params import CoupledParams

OPTIMISER = {"tokens": 640, "batch_windows": 4, "learning_rate": 2e-3}
STUDY = {
    "jobs": 1,
    "speedups": [1.5],
    "diverse": 1,
    "min_difference": 1,
    "ridges": [1e-6, 1.0],
    "distillation": OPTIMISER,
    "windows": 2,
    "healing": OPTIMISER,
}


def first(scores, times, ffns=("parent", "ffn50", "no_op"), attentions=("parent", "linear", "no_op")):
    """A block library of all pairs, from scores and times (layers, pairs)."""
    pairs = [compose(a, f) for a in attentions for f in ffns]
    return {
        f"layer_{i}": {
            pair: {"stats": {"runtime_ms": t}, "metrics": {"kl_div": s}}
            for pair, s, t in zip(pairs, own_scores, own_times, strict=True)
        }
        for i, (own_scores, own_times) in enumerate(zip(scores, times, strict=True))
    }


def case(seed):
    """A library in which the parents cost most, and scores of some of its pairs as whole blocks, of both kinds."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 5))
    scores, times = random.uniform(0, 10, (2, count, 9)).round(4)
    scores[:, 0], times[:, 0] = 0, 12
    library, measured = first(scores.tolist(), times.tolist()), {}
    for layer in range(count):
        for pair in random.choice([*library["layer_0"]][3:], int(random.integers(0, 4)), replace=False):
            for block in (str(pair), str(pair) + MARK):
                measured.setdefault(layer, {})[block] = {"kl_div": float(random.uniform(0, 10))}
    return library, measured


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.01, 1.2, 2.0, 50.0]))
def test_the_second_search_is_never_worse_on_the_same_scores(seed, speedup):
    library, measured = case(seed)
    both = coupled_search.extended(library, measured)
    try:
        rows = coupled_search.second_search(library, both, "metrics.kl_div", "here", speedup)
    except ValueError:
        limits = {budgets.RUNTIME: budgets.runtime_for_speedup(library, speedup)}
        assert search.solve(library, "metrics.kl_div", limits).status == "infeasible"
        return
    by = {row["method"]: row for row in rows}
    assert list(by) == ["decoupled", "coupled", "searched"]
    least = min(by["decoupled"]["promised"], by["coupled"]["promised"])
    assert by["searched"]["promised"] <= least + 1e-9
    assert [plain(block) for block in by["coupled"]["blocks"]] == by["decoupled"]["blocks"]
    for row in rows:
        assert row["runtime_ms"] <= row["budget_ms"] * (1 + 1e-9)
        names = zip(block_library.layers(library), row["blocks"], strict=True)
        assert row["promised"] == pytest.approx(sum(both[layer][block]["metrics"]["kl_div"] for layer, block in names))


def test_an_extension_keeps_the_library_and_costs():
    library = first([[0.0, *range(1, 9)]], [[9.0, *range(1, 9)]])
    both = coupled_search.extended(
        library, {0: {"linear+ffn50": {"kl_div": 0.7}, "linear+ffn50" + MARK: {"kl_div": 0.5}}}
    )
    assert both["layer_0"]["linear+ffn50" + MARK]["stats"] == library["layer_0"]["linear+ffn50"]["stats"]
    assert both["layer_0"]["linear+ffn50"]["metrics"]["kl_div"] == 0.7
    assert library["layer_0"]["linear+ffn50"]["metrics"]["kl_div"] == 4
    others = [pair for pair in library["layer_0"] if pair != "linear+ffn50"]
    assert all(both["layer_0"][pair] == library["layer_0"][pair] for pair in others)
    with pytest.raises(ValueError, match=r"layer_3: the block library has no 'linear\+ffn50'"):
        coupled_search.extended(library, {3: {"linear+ffn50": {"kl_div": 0.5}}})


def study(**changes):
    return check(CoupledParams, STUDY | changes)


def test_survivors_are_what_the_searches_chose(variants):
    scores = [[0.0, 1, 9, 2, 5, 9, 3, 9, 9], [0.0, 9, 9, 1, 9, 9, 9, 9, 9]]
    times = [[9.0, 5, 4, 3, 2, 1, 2, 1, 1], [9.0, 9, 9, 2, 9, 9, 9, 9, 9]]
    libraries = {"here": first(scores, times), "there": first(scores, [[9.0, 1, 1, 9, 9, 9, 9, 9, 9]] * 2)}
    rows = coupled_search.first_search(libraries, "metrics.kl_div", study(diverse=0))
    for row in rows:
        limit = budgets.runtime_for_speedup(libraries[row["target"]], row["speedup"])
        best = search.solve(libraries[row["target"]], "metrics.kl_div", {budgets.RUNTIME: limit})
        assert row["blocks"] == list(best.choice.values())
    chosen = {(i, block) for row in rows for i, block in enumerate(row["blocks"])}
    found = coupled_search.survivors(rows, variants)
    pairs = {(layer, pair) for layer, own in found.items() for pair in own}
    assert pairs == {(i, block) for i, block in chosen if not block.startswith(PARENT)} and pairs
    more = coupled_search.first_search(libraries, "metrics.kl_div", study(diverse=1))
    assert more[: len(rows)] == rows and len(more) > len(rows)
    assert coupled_search.survivors(more, variants).keys() >= found.keys()


def test_searches_without_children_or_pairs_are_refused(variants):
    slow = {"here": first([[0.0] * 9], [[9.0] * 9])}
    with pytest.raises(ValueError, match=r"coupled\.speedups has 1\.5: no child for here is that fast"):
        coupled_search.first_search(slow, "metrics.kl_div", study())
    with pytest.raises(ValueError, match="exchanges an attention, so there is no pair to train"):
        coupled_search.survivors([{"blocks": ["parent+ffn50", "no_op+no_op"]}], variants)
    quick = {"here": first([[0.0] * 9], [[9.0] + [1.0] * 8])}
    with pytest.raises(ValueError, match=r"min_difference = 5; expected 0 to 1 layers"):
        coupled_search.first_search(quick, "metrics.kl_div", study(min_difference=5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speedups": []}, "speedups"),
        ({"diverse": -1}, "diverse = -1"),
        ({"ridges": []}, "ridges"),
        ({"ridges": [1.0, 0.0]}, r"ridges\.1 = 0\.0"),
        ({"jobs": 0}, "jobs = 0"),
        ({"ridge": 1.0}, "ridge: unknown key; did you mean 'ridges'"),
    ],
)
def test_bad_parameters_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        study(**changes)
