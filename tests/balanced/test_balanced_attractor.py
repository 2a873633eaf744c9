"""Dynamics against direct evaluation, and a trained network."""

import numpy as np
import pytest

from tessera.balanced import attractor, samples, solvers


@pytest.fixture(scope="module")
def networks():
    """Memories, signs, and the two networks trained on them."""
    task = samples.memories(np.random.default_rng(0), 120, 30, 0.8, 0.3, 0.15)
    return (
        task.X,
        solvers.train_network(task.X, task.signs).weights,
        solvers.train_network(task.X, task.signs, 10.0).weights,
    )


def test_cycle_is_the_definition():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(25, 25)) / 2
    np.fill_diagonal(weights, 0)
    state = (rng.random(25) < 0.4).astype(float)
    order, noise = rng.permutation(25), 0.3 * rng.normal(size=25)
    expected = state.copy()
    for k, i in enumerate(order):
        expected[i] = weights[i] @ expected - 1 + noise[k] > 0
    field = weights @ state - 1
    flips = attractor._cycle(np.ascontiguousarray(weights.T), state, field, order, noise)
    np.testing.assert_array_equal(state, expected)
    np.testing.assert_allclose(field, weights @ state - 1, atol=1e-12)
    assert flips > 0


def test_memories_are_fixed_points(networks):
    memories, *weights = networks
    for w in weights:
        assert attractor.is_fixed_point(w, memories).all()
        assert not attractor.is_fixed_point(w, 1 - memories).any()
        assert attractor.recovers(w, memories[0], memories[0], 5, 0.15, np.random.default_rng(0))


def test_balanced_network_bears_more_output_noise(networks):
    memories, fragile, robust = networks

    def fraction(w, sigma):
        rng = np.random.default_rng(3)
        return np.mean([attractor.stable(w, m, sigma, 50, 0.1, rng) for m in memories])

    assert fraction(fragile, 0.02) == fraction(robust, 0.02) == 1
    assert fraction(fragile, 0.25) < 0.2 and fraction(robust, 0.25) > 0.8
    assert fraction(robust, 5.0) == 0


def test_small_errors_are_repaired_and_large_ones_are_not(networks):
    memories, weights, _ = networks
    rng = np.random.default_rng(1)
    activity = memories.mean(0)
    near = [
        attractor.recovers(weights, m, attractor.corrupted(m, 0.02, activity, rng), 50, 0.15, rng) for m in memories
    ]
    far = [attractor.recovers(weights, m, attractor.corrupted(m, 0.6, activity, rng), 50, 0.15, rng) for m in memories]
    assert np.mean(near) > 0.8 and np.mean(far) < 0.2


def test_corruption_keeps_the_mean_activity():
    rng = np.random.default_rng(0)
    memory = (np.arange(200_000) < 60_000).astype(float)
    changed = attractor.corrupted(memory, 0.2, np.full(200_000, 0.3), rng)
    assert changed.mean() == pytest.approx(0.3, abs=0.004)
    assert (changed < memory).mean() == pytest.approx(0.06, abs=0.003)
    np.testing.assert_array_equal(attractor.corrupted(memory, 0.0, np.full(200_000, 0.3), rng), memory)


def test_malformed_input_is_named():
    with pytest.raises(ValueError, match="weights: shape"):
        attractor.is_fixed_point(np.zeros((3, 4)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="states"):
        attractor.is_fixed_point(np.zeros((3, 3)), np.full((2, 3), 0.5))
