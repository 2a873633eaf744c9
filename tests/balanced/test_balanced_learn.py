"""The learning rule against its plain reading, and what it is known to do."""

import numpy as np
import pytest

from tessera.balanced import learn, samples, solvers

RULE = learn.Rule(rate=1e-3, decay=1e-4, sigma_in=0.1, sigma_out=0.15)


def plain(X, y, signs, w, rule, cycles, rng):
    """The rule of the module's docstring, weight by weight."""
    w = w.copy()
    orders = rng.permuted(np.tile(np.arange(len(y)), (cycles, 1)), axis=1)
    noise = rng.standard_normal((cycles, len(y)))
    errors = np.zeros(cycles)
    for cycle in range(cycles):
        for k, mu in enumerate(orders[cycle]):
            h = w @ X[mu] - 1 + np.sqrt(w @ w * rule.sigma_in**2 + rule.sigma_out**2) * noise[cycle, k]
            w = (1 - rule.decay) * w
            if y[mu] * h < 0:
                errors[cycle] += 1
                w = w + rule.rate * y[mu] * X[mu]
                w[signs * w <= 0] = 0
    return w, errors / len(y)


def test_compiled_rule_is_the_plain_one():
    task = samples.binary(np.random.default_rng(0), 30, 12, 0.8, 0.5)
    start = learn.initial_weights(np.random.default_rng(1), task.signs)
    kept, errors = learn.train(*task, start, RULE, [0, 40], np.random.default_rng(2))
    w, expected = plain(*task, start, RULE, 40, np.random.default_rng(2))
    np.testing.assert_array_equal(kept[0], start)
    np.testing.assert_allclose(kept[1], w, atol=1e-12)
    np.testing.assert_array_equal(errors, expected)


def test_weights_keep_their_signs_and_learning_is_repeatable():
    task = samples.binary(np.random.default_rng(0), 60, 20, 0.8, 0.5)
    start = learn.initial_weights(np.random.default_rng(1), task.signs)
    kept, errors = learn.train(*task, start, RULE, [10, 300], np.random.default_rng(2))
    again, _ = learn.train(*task, start, RULE, [10, 300], np.random.default_rng(2))
    assert np.all(task.signs * kept >= 0)
    np.testing.assert_array_equal(kept, again)
    assert errors.shape == (300,) and errors[-50:].mean() < 0.5 * errors[:50].mean()


def test_output_noise_makes_the_weights_large_and_balanced():
    finals = {}
    for sigma_out in (0.0, 0.15):
        norms, imbalances, margins = [], [], []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            task = samples.binary(rng, 200, 60, 0.8, 0.5)
            rule = learn.Rule(0.1 / 200, 5e-7, 0.1, sigma_out)
            w = learn.train(*task, learn.initial_weights(rng, task.signs), rule, [10_000], rng)[0][-1]
            bound = solvers.max_kappa_out(*task, norm=float(np.linalg.norm(w)))
            assert solvers.margins(w, task.X, task.y)[1] <= bound.certificate.dual * (1 + 1e-9)
            norms.append(np.linalg.norm(w))
            imbalances.append(solvers.imbalance(w, task.X))
            margins.append(solvers.margins(w, task.X, task.y)[1])
        finals[sigma_out] = np.mean(norms), np.mean(imbalances), np.mean(margins)
    (quiet_norm, quiet_ib, quiet_margin), (norm, ib, margin) = finals[0.0], finals[0.15]
    assert norm > 3 * quiet_norm and margin > 3 * quiet_margin
    assert ib < 0.35 < quiet_ib


def test_malformed_input_is_named():
    task = samples.binary(np.random.default_rng(0), 10, 6, 0.8, 0.5)
    rng = np.random.default_rng(0)
    start = learn.initial_weights(rng, task.signs)
    with pytest.raises(ValueError, match="decay: 1"):
        learn.Rule(1e-3, 1.0, 0.1, 0.1)
    for rate in (0.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"rate: {rate}"):
            learn.Rule(rate, 0.0, 0.1, 0.1)
    with pytest.raises(ValueError, match=r"w\[0\]: nan"):
        learn.train(*task, start * np.nan, RULE, [1], rng)
    with pytest.raises(ValueError, match=r"w\[0\]"):
        learn.train(*task, -start, RULE, [1], rng)
    with pytest.raises(ValueError, match="marks"):
        learn.train(*task, start, RULE, [3, 3], rng)
    with pytest.raises(ValueError, match="not finite"):
        learn.train(task.X * np.nan, task.y, task.signs, start, RULE, [1], rng)


def test_a_decay_that_forgets_everything_within_a_cycle():
    """0.1^400 underflows."""
    task = samples.binary(np.random.default_rng(0), 10, 400, 0.8, 0.5)
    rng = np.random.default_rng(0)
    kept, _ = learn.train(*task, learn.initial_weights(rng, task.signs), learn.Rule(1e-3, 0.9, 0.1, 0.1), [2], rng)
    assert np.isfinite(kept).all() and np.abs(kept).max() < 1e-2
