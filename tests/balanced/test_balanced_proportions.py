"""Intervals and half points against their equations, on data whose answer is known."""

import math

import numpy as np
import pytest

from tessera.balanced import proportions


def test_wilson_interval_solves_its_equation():
    for k, n in ((0, 10), (3, 10), (10, 10), (45, 120)):
        fraction, low, high = proportions.wilson(k, n)
        assert 0 <= low <= fraction <= high <= 1
        for edge in (low, high):
            if 0 < edge < 1:  # |p - k/n| = z sqrt(p (1 - p)/n)
                assert abs(edge - fraction) == pytest.approx(1.96 * math.sqrt(edge * (1 - edge) / n))
    with pytest.raises(ValueError, match="trials"):
        proportions.wilson(5, 4)


def test_half_point():
    x = np.logspace(-2, 1, 31)
    assert proportions.half_point(x, 1 / (1 + (x / 0.3) ** 6)) == pytest.approx(0.3, rel=0.02)
    assert math.isnan(proportions.half_point(x, np.ones(31)))


def test_half_load_of_a_logistic_curve():
    rng = np.random.default_rng(0)
    alpha = np.linspace(0.8, 1.2, 9)
    trials = np.full(9, 400)
    halves, errors = [], []
    for _ in range(40):
        solved = rng.binomial(trials, 1 / (1 + np.exp((alpha - 1.03) / 0.04)))
        half, error = proportions.half_load(alpha, solved, trials)
        halves.append(half)
        errors.append(error)
    assert np.mean(halves) == pytest.approx(1.03, abs=0.003)
    assert np.mean(errors) == pytest.approx(np.std(halves), rel=0.4)


def test_half_load_where_loads_separate_the_outcomes():
    half, error = proportions.half_load(np.array([0.8, 0.9, 1.0, 1.1]), np.array([50, 50, 0, 0]), np.full(4, 50))
    assert 0.9 < half < 1.0 and np.isfinite(error)
