"""Intervals over groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tessera.common.statistics import clustered_interval, percentile_interval


def median(values: np.ndarray) -> np.ndarray:
    return np.median(values, axis=0)


def covered(groups: int, members: int, between: float, trials: int) -> int:
    """In how many of the trials the interval covers the true median, 0, of groups that differ by `between`."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(trials):
        values = between * rng.standard_normal((groups, 1)) + rng.standard_normal((groups, members))
        low, high = clustered_interval(list(values), median, rng, draws=200)
        hits += bool(low <= 0 <= high)
    return hits


@pytest.mark.parametrize(
    ("groups", "between"),
    [
        (3, 1.0),
        *(pytest.param(groups, between, marks=pytest.mark.slow) for groups in (3, 4, 12) for between in (0.3, 3.0)),
    ],
)
def test_coverage_is_at_least_the_level(groups: int, between: float) -> None:
    """Drawing members as if all were in one group covers in about half of the cases if groups differ as members do."""
    assert stats.binomtest(covered(groups, 20, between, trials=100), 100, 0.95, "less").pvalue > 1e-3


def test_intervals_of_the_mean_of_many_groups_are_students() -> None:
    rng = np.random.default_rng(3)
    groups = rng.standard_normal((30, 1)) + 0.01 * rng.standard_normal((30, 50))
    means = groups.mean(axis=1)
    half = stats.t.ppf(0.975, 29) * means.std(ddof=1) / np.sqrt(30)
    low, high = clustered_interval(list(groups), np.mean, np.random.default_rng(0))
    assert low == pytest.approx(means.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(means.mean() + half, abs=0.1 * half)


def test_the_same_members_twice_decide_no_more_between_groups() -> None:
    """Copies of the members narrow nothing where groups differ: the number of groups counts."""
    rng = np.random.default_rng(1)
    groups = [rng.normal(shift, 0.01, size=10) for shift in (-1, 0, 2, 3, 5)]
    once = clustered_interval(groups, np.mean, np.random.default_rng(0))
    often = clustered_interval([np.tile(group, 20) for group in groups], np.mean, np.random.default_rng(0))
    assert np.subtract(*often) == pytest.approx(np.subtract(*once), rel=0.15)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=6),
    seed=st.integers(0, 2**32 - 1),
    shift=st.floats(-100, 100),
    scale=st.floats(0.01, 100),
)
def test_intervals_move_with_their_data(sizes: list[int], seed: int, shift: float, scale: float) -> None:
    """Shifting and scaling the measurements does the same to both ends. Groups may be of unequal sizes."""
    rng = np.random.default_rng(seed)
    groups = [rng.standard_normal(size) for size in sizes]
    low, high = clustered_interval(groups, np.mean, np.random.default_rng(0), draws=100)
    assert low <= high
    moved = clustered_interval([shift + scale * g for g in groups], np.mean, np.random.default_rng(0), draws=100)
    assert np.allclose(moved, [shift + scale * low, shift + scale * high], atol=1e-9 * (1 + abs(shift) + scale))


def test_a_column_has_the_interval_it_has_alone() -> None:
    rng = np.random.default_rng(2)
    groups = [rng.standard_normal((n, 3)) for n in (2, 5, 7)]
    together = clustered_interval(groups, median, np.random.default_rng(0), draws=100)
    for column in range(3):
        alone = clustered_interval([g[:, column] for g in groups], median, np.random.default_rng(0), draws=100)
        assert np.array_equal(np.array(together)[:, column], alone)


def test_undefined_draws_are_left_out() -> None:
    def ratio(values: np.ndarray) -> float:
        return float(values[:, 0].sum() / values[:, 1].sum()) if values[:, 1].any() else np.nan

    low, high = clustered_interval([np.array([[1, 0]]), np.array([[2, 1]])], ratio, np.random.default_rng(0))
    assert np.isfinite([low, high]).all()
    never = clustered_interval([[1.0], [2.0]], lambda values: np.nan, np.random.default_rng(0))
    assert np.isnan(never).all()


@pytest.mark.parametrize("groups", [[], [[1.0, 2.0]], [[1.0], []]])
def test_groups_are_needed(groups: list) -> None:
    with pytest.raises(ValueError, match="expected two or more groups, none of them empty"):
        clustered_interval(groups, np.mean, np.random.default_rng(0))


@pytest.mark.parametrize("statistic", [np.median, np.mean])
def test_percentile_interval_is_that_of_a_loop_over_draws(statistic) -> None:
    values = np.random.default_rng(1).lognormal(size=7)
    rng = np.random.default_rng(2)
    drawn = [statistic(values[rng.integers(7, size=7)]) for _ in range(500)]
    expected = np.quantile(drawn, [0.05, 0.95])
    interval = percentile_interval(statistic, values, np.random.default_rng(2), level=0.9, draws=500)
    assert interval == pytest.approx(expected, rel=1e-12)
