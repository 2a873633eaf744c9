"""Rank correlations, biases and their intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tessera.puzzle import association


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
        found = association.ranks(x, y, 300, rng)["spearman"]
        inside += found["low"] <= truth <= found["high"]
    assert inside >= 50  # 57 of 60 are expected


def test_bias_finds_the_ratio_and_its_growth():
    rng, n = np.random.default_rng(2), np.arange(1, 41)
    predicted = rng.uniform(0.1, 2, 40)
    true = predicted * 1.2 * 1.3 ** ((n - n.mean()) / 10)
    found = association.bias(predicted, true, n, 200, rng)
    assert found["ratio"]["value"] == pytest.approx(1.2)
    assert found["per_ten"]["value"] == pytest.approx(1.3)
    assert found["per_ten"]["low"] == pytest.approx(1.3)
    assert found["error"]["value"] > math.log(1.2)


def test_a_bias_needs_positive_numbers():
    with pytest.raises(ValueError, match="> 0"):
        association.bias([0.0, 1.0], [1.0, 1.0], [1, 2], 100, np.random.default_rng(0))
    with pytest.raises(ValueError, match="2 predictions"):
        association.ranks([1, 2], [1, 2], 100, np.random.default_rng(0))


def test_paired_differences_have_errors_by_document():
    found = association.paired([1.0, 2.0, 5.0, 6.0], [0.0, 1.0, 3.0, 4.0], [7, 7, 8, 8])
    assert found["difference"] == 1.5
    # Two documents with means 1 and 2: the standard error is that of two independent numbers.
    assert found["se"] == pytest.approx(np.std([1, 2], ddof=1) / math.sqrt(2))
