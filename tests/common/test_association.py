"""Rank correlations, partial ones, and their intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tessera.common import association


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=25))
def test_ranks_are_those_of_scipy_with_ties(pairs):
    x, y = zip(*pairs, strict=True)
    found = association.ranks(x, y, 100, np.random.default_rng(0))
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert found["spearman"]["value"] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert found["kendall"]["value"] == pytest.approx(stats.kendalltau(x, y).statistic)
    else:
        assert found["spearman"]["value"] is None


def test_intervals_cover_the_true_correlation():
    rng, rho, inside = np.random.default_rng(1), 0.6, 0
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's rho of a bivariate Gaussian
    for _ in range(60):
        x, y = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 40).T
        found = association.interval(association.of(association.spearman, x, y), len(x), 200, rng)
        inside += found["low"] <= truth <= found["high"]
    assert inside >= 50  # 57 of 60 are expected


numbers = st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=6, max_size=25)


@settings(max_examples=50, deadline=None)
@given(numbers)
def test_the_partial_rank_correlation_is_the_textbook_formula(rows):
    x, y, z = np.array(rows, float).T
    r = stats.spearmanr(np.stack([x, y, z]), axis=1).statistic if min(map(np.ptp, (x, y, z))) else np.eye(3)
    if min(map(np.ptp, (x, y, z))) == 0 or max(abs(r[0, 2]), abs(r[1, 2])) > 1 - 1e-9:
        return
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / math.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert association.partial_spearman(x, y, z) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(numbers)
def test_monotone_scales_change_no_rank(rows):
    x, y, z = np.array(rows, float).T
    before, after = association.partial_spearman(x, y, z), association.partial_spearman(np.exp(x), y**3, 7 - z)
    assert after == pytest.approx(before, abs=1e-9, nan_ok=True)


def test_a_prediction_that_only_knows_the_null_has_no_partial_association():
    """Noise about the number of targets ranks well, and beyond the number of targets not at all."""
    rng, passed = np.random.default_rng(3), 0
    targets = np.tile([5, 10, 15, 20], 6)
    for _ in range(20):
        predicted, measured = rng.normal(size=(2, 24)) - 0.5 * targets
        assert association.spearman(predicted, measured) > 0.8
        passed += association.partial(predicted, measured, targets, 200, rng)["low"] > 0
    assert passed <= 3  # 0.5 of 20 is expected
    assert math.isnan(association.partial_spearman(targets, measured, targets))


def test_several_nulls_leave_what_none_of_them_explains():
    rng = np.random.default_rng(4)
    first, second, own = rng.normal(size=(3, 400))
    true = first + second + own
    assert association.partial_spearman(own, true, [first, second]) > 0.8
    assert association.partial_spearman(second, true, first) > 0.5
    assert abs(association.partial_spearman(second + 0.01 * first, true, [first, second])) < 0.1


def test_equal_windows_of_a_document_count_once():
    rng, documents = np.random.default_rng(5), np.repeat(np.arange(8), 6)
    values = np.repeat(rng.normal(size=8), 6)  # six equal windows of each document
    one = association.interval(lambda c: values[c].mean(), 48, 500, rng)
    whole = association.clustered(np.mean, values, documents, 500, rng)
    assert whole["value"] == one["value"] and whole["high"] - whole["low"] > 2 * (one["high"] - one["low"])
    assert association.clustered(np.mean, values, np.zeros(48), 500, rng)["low"] is None


def test_unequal_lengths_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="2 predictions and 2 measurements; expected"):
        association.ranks([1, 2], [1, 2], 100, rng)
    with pytest.raises(ValueError, match="3 predictions and 2 values of the null"):
        association.partial([1, 2, 3], [1, 2, 3], [1, 2], 100, rng)
