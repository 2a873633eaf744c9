"""Accuracy, the choice of metric and sets, and retention with its paired intervals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.puzzle.scores.retention import Answers, Bootstrap, correct, select


@pytest.mark.parametrize(
    ("values", "sizes", "answer", "metric", "expected"),
    [
        ([-1.0, -2.0], [1, 4], 0, "sum", 1.0),
        ([-1.0, -2.0], [1, 4], 0, "per_byte", 0.0),
        ([-1.0, -1.0, -2.0], [1, 1, 1], 1, "sum", 0.5),
        ([-1.0, -1.0, -2.0], [1, 1, 1], 2, "sum", 0.0),
        # What rounding alone may tell apart is equal.
        ([-31.000_01, -31.0], [1, 1], 0, "sum", 0.5),
        ([-31.000_01, -31.0], [9, 9], 0, "per_byte", 0.5),
        ([-31.001, -31.0], [9, 9], 0, "per_byte", 0.0),
    ],
)
def test_correct(values, sizes, answer, metric, expected):
    assert correct(values, sizes, answer, metric) == expected


def test_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="'letters'; expected one of sum, per_byte"):
        correct([0.0], [1], 0, "letters")


def test_the_better_metric_is_chosen_and_sets_at_chance_are_not_kept():
    good, poor, chance = np.array([1.0, 1, 1, 0, 1, 1, 1, 1]), np.array([1.0, 0, 1, 0, 1, 0, 1, 0]), np.full(8, 0.5)
    chosen = select({"sum": poor, "per_byte": good}, chance, 2.0)
    assert (chosen.metric, chosen.kept, chosen.accuracy, chosen.chance) == ("per_byte", True, 0.875, 0.5)
    assert select({"sum": good, "per_byte": good}, chance, 2.0).metric == "sum"
    assert not select({"sum": poor}, chance, 0.0).kept
    assert select({"sum": good}, chance, 3.0).kept  # .375 is 3 standard errors of .125
    assert not select({"sum": good}, chance, 3.01).kept
    assert not select({"sum": np.array([1.0])}, np.array([0.5]), 2.0).kept  # one item has no standard error


def answers(rng, count=200, **rates):
    sets = np.repeat(["a", "b", "c"], [count, count // 2, count])
    groups = np.where(sets == "c", "second", "first")
    right = {name: (rng.random(len(sets)) < rate).astype(float) for name, rate in rates.items()}
    return Answers(sets, groups, np.where(sets == "c", 0.25, 0.5), right)


def drawn(found, draws=1000, seed=1):
    return Bootstrap(found, draws, np.random.default_rng(seed))


def test_golden_retention():
    right = {"parent": np.array([1.0, 1, 1, 1]), "child": np.array([1.0, 1, 1, 0])}
    made = drawn(Answers(np.repeat("a", 4), np.repeat("g", 4), np.full(4, 0.5), right), 100)
    assert made.retention("child", "parent", np.ones(4, bool))[0] == pytest.approx(0.5)
    assert made.overall("child", "parent")[0] == pytest.approx(0.5)
    assert made.accuracy("child", np.ones(4, bool))["value"] == 0.75


def test_a_child_like_its_parent_retains_all_in_every_draw():
    found = answers(np.random.default_rng(0), parent=0.8)
    found = Answers(
        found.sets, found.groups, found.chance, {"parent": found.right["parent"], "child": found.right["parent"]}
    )
    made = drawn(found)
    np.testing.assert_allclose(made.overall("child", "parent"), 1.0)
    np.testing.assert_allclose(made.retention("child", "parent", found.groups == "first"), 1.0)


def test_the_mean_over_groups_weighs_groups_alike():
    found = answers(np.random.default_rng(0), parent=0.9, child=0.7)
    above = {
        name: np.mean([(found.right[name] - found.chance)[found.groups == g].mean() for g in ("first", "second")])
        for name in ("parent", "child")
    }
    assert drawn(found).overall("child", "parent")[0] == pytest.approx(above["child"] / above["parent"])


def test_intervals_cover_the_truth_as_often_as_they_say():
    true, rng, hits = (0.7 - 0.5) / (0.9 - 0.5), np.random.default_rng(2), 0
    for _ in range(200):
        right = {"parent": (rng.random(300) < 0.9) * 1.0, "child": (rng.random(300) < 0.7) * 1.0}
        made = drawn(Answers(np.repeat("a", 300), np.repeat("g", 300), np.full(300, 0.5), right), 300)
        span = made.interval(made.retention("child", "parent", np.ones(300, bool)))
        hits += span["low"] <= true <= span["high"]
    assert 0.90 <= hits / 200 <= 0.99


def test_items_are_drawn_within_their_sets():
    found = answers(np.random.default_rng(0), parent=0.9)
    weights = drawn(found, 50).weights
    for name in "abc":
        assert (weights[:, found.sets == name].sum(1) == (found.sets == name).sum()).all()


def test_a_parent_at_chance_has_no_retention():
    right = {"parent": np.array([1.0, 0, 1, 0]), "child": np.ones(4)}
    made = drawn(Answers(np.repeat("a", 4), np.repeat("g", 4), np.full(4, 0.5), right), 100)
    retained = made.retention("child", "parent", np.ones(4, bool))
    assert math.isnan(retained[0]) and made.interval(retained)["value"] is None
    assert made.interval(np.full(5, np.nan)) == {"value": None, "low": None, "high": None}


def test_no_set_left_is_a_clear_error():
    with pytest.raises(ValueError, match="not above chance in any"):
        drawn(Answers(np.array([]), np.array([]), np.array([]), {"parent": np.array([])}))


@given(rate=st.floats(0, 1), seed=st.integers(0, 99))
def test_intervals_hold_their_value(rate, seed):
    found = answers(np.random.default_rng(seed), 40, parent=0.9, child=rate)
    made = drawn(found, 200)
    one = made.interval(made.overall("child", "parent"))
    assert one["low"] - 0.1 <= one["value"] <= one["high"] + 0.1
