"""Biases of predictions and paired differences."""

import math

import numpy as np
import pytest

from tessera.puzzle.scores import association


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


def test_paired_differences_have_errors_by_document():
    found = association.paired(
        {"kl_div": [1.0, 2.0, 5.0, 6.0], "document": [7, 7, 8, 8]},
        {"kl_div": [0.0, 1.0, 3.0, 4.0], "document": [7, 7, 8, 8]},
    )
    assert found["difference"] == 1.5
    # Two documents with means 1 and 2: the standard error is that of two independent numbers.
    assert found["se"] == pytest.approx(np.std([1, 2], ddof=1) / math.sqrt(2))


def test_comparisons_weigh_windows_by_their_tokens():
    tokens = {"document": [7, 7, 8, 8], "tokens": [1, 3, 2, 2]}
    first, second = ({"kl_div": kl} | tokens for kl in ([1.0, 2.0, 5.0, 6.0], [0.5, 1.0, 3.0, 4.0]))
    # The same as if each window came as often as it has tokens.
    often = [{key: np.repeat(v, tokens["tokens"]).tolist() for key, v in one.items()} for one in (first, second)]
    often = [{key: one[key] for key in ("kl_div", "document")} for one in often]
    assert association.paired(first, second) == pytest.approx(association.paired(*often))
    found = association.ratio(first, second)
    assert found["value"] == pytest.approx((1 + 6 + 10 + 12) / (0.5 + 3 + 6 + 8)) and found["low"] < found["high"]


def test_a_ratio_is_paired_by_document():
    """Documents differ by a factor of ten and the children by a tenth: only paired draws see the latter."""
    rng = np.random.default_rng(6)
    level = np.repeat(10 ** rng.uniform(-1, 0, 12), 2)
    first, second = level * rng.uniform(0.85, 0.95, 24), level
    windows = [{"kl_div": kl.tolist(), "document": np.repeat(np.arange(12), 2).tolist()} for kl in (first, second)]
    found = association.ratio(*windows)
    assert found["value"] == pytest.approx(first.mean() / second.mean())
    assert 0.8 < found["low"] < found["value"] < found["high"] < 1
