import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from tessera.tempotron import bins, tasks
from tessera.tempotron.existence import cover_probability, exists


def test_cover_probability_golden_numbers():
    values = [cover_probability(p, 8) for p in (12, 16, 18, 20, 24)]
    assert values == pytest.approx([0.967, 0.696, 0.5, 0.324, 0.105], abs=5e-4)
    assert cover_probability(2 * (30 + 1), 30) == pytest.approx(0.5, abs=1e-12)
    assert cover_probability(5, 8) == 1


@pytest.mark.parametrize(("p", "runs"), [(16, 150), (20, 150)])
def test_perceptron_obeys_cover(p, runs):
    """Inside a 99.9 % binomial interval of the exact probability."""
    rng = np.random.default_rng(p)
    verdicts = [exists(tasks.bin_patterns(1, 8, p, rng), tasks.labels(p, rng)).verdict for _ in range(runs)]
    expected = cover_probability(p, 8)
    assert set(verdicts) <= {"solvable", "unsolvable"}
    assert abs(verdicts.count("solvable") / runs - expected) < 3.3 * np.sqrt(expected * (1 - expected) / runs)


def test_weights_that_it_returns_solve_the_task():
    rng = np.random.default_rng(1)
    patterns, labels = tasks.bin_patterns(3, 6, 10, rng), tasks.labels(10, rng)
    existence = exists(patterns, labels)
    assert existence.verdict == "solvable" and existence.margin > 1e-4
    assert bins.solves(existence.weights, patterns, labels, existence.threshold)


def test_two_bins_lift_what_the_perceptron_cannot():
    """Four points on a line, alternately labelled: a threshold cannot, the larger of two bins can."""
    line = np.array([-2.0, -1.0, 1.0, 2.0])
    labels = np.array([1, -1, -1, 1])
    single_bin = line[:, None, None]
    assert exists(single_bin, labels).verdict == "unsolvable"
    both = np.stack([line, -line], axis=1)[:, :, None]  # max(w x, -w x) = |w x|
    assert exists(both, labels).verdict == "solvable"


def test_contradictory_labels_are_unsolvable():
    patterns = np.ones((2, 2, 3))
    assert exists(patterns, np.array([1, -1])).verdict == "unsolvable"


@pytest.mark.parametrize("unit", [1e-200, 1e-6, 1e-4, 3.0, 1e6, np.array([1.0, 1e-8, 1e8, 1.0, 1.0])])
def test_verdicts_do_not_depend_on_the_unit_of_the_inputs(unit):
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(6, 2, 5)) * unit
    existence = exists(patterns, np.array([1, -1, 1, -1, 1, -1]))
    assert existence.verdict == "solvable"
    assert bins.solves(existence.weights, patterns, np.array([1, -1, 1, -1, 1, -1]), existence.threshold)
    line = np.array([-2.0, -1.0, 1.0, 2.0])[:, None, None] * np.max(unit)
    assert exists(line, np.array([1, -1, -1, 1])).verdict == "unsolvable"


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-7])
def test_a_narrow_gap_is_solvable(gap):
    patterns = np.array([1 + gap, 1.0, 0.5])[:, None, None]
    existence = exists(patterns, np.array([1, -1, -1]))
    assert existence.verdict == "solvable" and 0 < existence.margin < gap
    assert bins.solves(existence.weights, patterns, np.array([1, -1, -1]), existence.threshold)


def test_empty_patterns():
    nothing = np.zeros((3, 2, 4))
    assert exists(nothing, np.ones(3)).verdict == exists(nothing, -np.ones(3)).verdict == "solvable"
    assert exists(nothing, np.array([1, -1, 1])).verdict == "unsolvable"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-9, 1e-4, 1.0, 1e5]))
def test_one_bin_agrees_with_linear_programming(seed, unit):
    """Integer patterns, many of them equal, multiples or empty: max t with y (w.x - theta) >= t is 0 iff unsolvable."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, (rng.integers(2, 8), rng.integers(1, 4))).astype(float)
    labels = rng.choice((-1, 1), len(x))
    rows = np.column_stack([-labels[:, None] * x, labels, np.ones(len(x))])
    box = [(-1, 1)] * x.shape[1] + [(-9, 9), (None, 1)]
    expected = -linprog(-np.eye(x.shape[1] + 2)[-1], rows, np.zeros(len(x)), bounds=box).fun
    assert exists(unit * x[:, None, :], labels).verdict == ("solvable" if expected > 1e-6 else "unsolvable")


@pytest.mark.parametrize("sign", [-1, 1])
def test_labels_of_one_kind_are_trivial(sign):
    patterns = tasks.bin_patterns(2, 3, 40, np.random.default_rng(0))
    assert exists(patterns, np.full(40, sign)).verdict == "solvable"


def test_too_large_a_search_is_undecided():
    rng = np.random.default_rng(2)
    patterns, labels = tasks.bin_patterns(3, 20, 56, rng), tasks.labels(56, rng)
    assert exists(patterns, labels, max_nodes=1).verdict == "undecided"


def test_bad_input():
    with pytest.raises(ValueError, match=r"expected \(P, K, N\)"):
        exists(np.ones((2, 3)), np.array([1, -1]))
    with pytest.raises(ValueError, match=r"shape \(2, 1, 0\)"):
        exists(np.ones((2, 1, 0)), np.array([1, -1]))
    with pytest.raises(ValueError, match="max_nodes is 0"):
        exists(np.ones((2, 1, 3)), np.array([1, -1]), max_nodes=0)
    with pytest.raises(ValueError, match="pattern 1: label is 2"):
        exists(np.ones((2, 1, 3)), np.array([1, 2]))
