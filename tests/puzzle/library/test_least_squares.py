"""Closed-form maps against NumPy, against their optimality, and against refitting by brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.puzzle.library import least_squares
from tessera.puzzle.library.least_squares import Moments, eliminate, solve


def problem(seed, tokens=40, features=6, targets=4):
    """Features, targets and positive weights, float64."""
    g = torch.Generator().manual_seed(seed)
    f, y = (torch.randn(tokens, n, generator=g, dtype=torch.float64) for n in (features, targets))
    return f, y + f[:, :targets], 0.1 + torch.rand(tokens, generator=g, dtype=torch.float64)


def moments(f, y, w):
    m = Moments.empty(f.shape[1], y.shape[1])
    for part in zip(f.split(7), y.split(7), w.split(7), strict=True):
        m.add(*part)
    return m


def fit(G, W0, ridge, kept):
    """Weights on the kept channels that come nearest to W0 on all, and the error |f W - f W0|^2 with its ridge."""
    A = G + ridge * G.diagonal().mean() * torch.eye(len(G), dtype=G.dtype)
    W = torch.zeros_like(W0)
    W[kept] = torch.linalg.solve(A[kept][:, kept], (A @ W0)[kept])
    return W, float(((W - W0) * (A @ (W - W0))).sum())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_solution_is_numpys_weighted_least_squares(seed):
    f, y, w = problem(seed)
    root = w.sqrt()[:, None]
    expected = np.linalg.lstsq((f * root).numpy(), (y * root).numpy(), rcond=None)[0]
    m = moments(f, y, w)
    np.testing.assert_allclose(solve(m.G, m.C, 1e-13).numpy(), expected, rtol=1e-7, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([1e-6, 1e-3, 1.0]))
def test_gradient_is_zero_at_the_solution(seed, ridge):
    f, y, w = problem(seed)
    m = moments(f, y, w)
    W = solve(m.G, m.C, ridge).requires_grad_()
    loss = (w[:, None] * (y - f @ W) ** 2).sum() + ridge * m.G.diagonal().mean() * (W**2).sum()
    (gradient,) = torch.autograd.grad(loss, W)
    assert gradient.abs().max() < 1e-9 * m.C.abs().max()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 30))
def test_the_ridge_of_least_held_out_error_is_chosen(seed, count):
    """Against the errors themselves, token by token; and those of two texts add up to those of both."""
    f, y, w = problem(seed)
    train, held_out = (moments(f[part], y[part], w[part]) for part in (slice(count), slice(count, None)))
    prior = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ridges = (1e-3, 0.1, 3.0)
    chosen = least_squares.choose(train, held_out, ridges, [None, prior])

    def error(W):
        norm = (w[count:, None] * y[count:] ** 2).sum()
        return float((w[count:, None] * (y[count:] - f[count:] @ W) ** 2).sum() / norm)

    errors = [error(solve(train.G, train.C, ridge, around)) for around in (None, prior) for ridge in ridges]
    assert error(chosen.of(train)) == pytest.approx(min(errors)) == pytest.approx(chosen.error)
    whole, both = moments(f, y, w), train + held_out
    torch.testing.assert_close((both.G, both.C), (whole.G, whole.C))
    assert float(both.Y) == pytest.approx(whole.Y)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([1e-6, 1e-3, 1.0]))
def test_the_ridge_draws_towards_a_map(seed, ridge):
    f, y, w = problem(seed)
    m, prior = moments(f, y, w), torch.randn(6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    W = solve(m.G, m.C, ridge, prior).requires_grad_()
    pull = ridge * m.G.diagonal().mean() * ((W - prior) ** 2).sum()
    (gradient,) = torch.autograd.grad((w[:, None] * (y - f @ W) ** 2).sum() + pull, W)
    assert gradient.abs().max() < 1e-9 * m.C.abs().max()
    torch.testing.assert_close(solve(m.G, m.C, 1e12, prior), prior)
    torch.testing.assert_close(solve(m.G, m.C, ridge, torch.zeros_like(prior)), solve(m.G, m.C, ridge))


def test_error_is_the_relative_residual():
    f, y, w = problem(3)
    m, W = moments(f, y, w), torch.randn(6, 4, dtype=torch.float64)
    expected = (w[:, None] * (y - f @ W) ** 2).sum() / (w[:, None] * y**2).sum()
    assert m.error(W) == pytest.approx(float(expected), rel=1e-12)
    assert m.error(torch.zeros_like(W)) == pytest.approx(1.0)
    assert m.error(solve(m.G, m.C, 1e-12)) < m.error(W)


def test_float32_tokens_accumulate_in_float64():
    f, y, w = problem(4, tokens=700)
    m = moments(f.float(), y.float(), w.float())
    exact = moments(f, y, w)
    assert m.G.dtype == torch.float64
    torch.testing.assert_close(m.G, exact.G, rtol=1e-5, atol=1e-5)
    assert abs(m.Y - exact.Y) < 1e-6 * exact.Y


def test_constant_and_dead_features_are_solvable():
    f, y, w = problem(5)
    f[:, 2], f[:, 3] = f[:, 1], 0.0
    m = moments(f, y, w)
    assert torch.isfinite(solve(m.G, m.C, 1e-4)).all()


@pytest.mark.parametrize(
    ("bad", "message"), [(float("nan"), "not finite"), (-1e6, "singular.*raise library.ridge, now 0.001")]
)
def test_impossible_gram_matrix_is_a_clear_error(bad, message):
    f, y, w = problem(6)
    m = moments(f, y, w)
    m.G[2, 2] = bad
    with pytest.raises(ValueError, match=message):
        solve(m.G, m.C, 1e-3)
    with pytest.raises(ValueError, match=message):
        eliminate(m.G, m.C, 1e-3, [2])


def test_contribution_is_root_mean_square_times_outgoing_norm():
    found = least_squares.contribution(torch.tensor([4.0, 9.0]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    assert found.tolist() == [10.0, 3.0]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([1e-8, 1e-4, 1e-1]))
def test_elimination_one_at_a_time_is_greedy_refitting(seed, ridge):
    f, _, w = problem(seed, features=8)
    G, W0 = moments(f, f, w).G, torch.randn(8, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(least_squares, "ELIMINATION_BATCH", 1)
        found = eliminate(G, W0, ridge, list(range(1, 9)))
    kept = list(range(8))
    for width in range(7, 0, -1):
        errors = {j: fit(G, W0, ridge, [k for k in kept if k != j])[1] for j in kept}
        kept.remove(min(errors, key=errors.get))
        assert found[width].tolist() == kept


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_widths_are_nested_sorted_and_do_not_depend_on_each_other(seed):
    f, _, w = problem(seed, tokens=90, features=40)
    G, W0 = moments(f, f, w).G, torch.randn(40, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = eliminate(G, W0, 1e-4, [30, 10, 20, 40, 10])
    assert {width: len(kept) for width, kept in found.items()} == {10: 10, 20: 20, 30: 30, 40: 40}
    for narrow, wide in ((10, 20), (20, 30), (30, 40)):
        assert set(found[narrow].tolist()) < set(found[wide].tolist())
    assert all(kept.tolist() == sorted(kept.tolist()) for kept in found.values())
    assert torch.equal(eliminate(G, W0, 1e-4, [30])[30], found[30])


def test_channels_without_weight_or_activity_go_first():
    f, _, w = problem(8, features=20)
    f[:, 5] = 0.0
    W0 = torch.ones(20, 2, dtype=torch.float64)
    W0[11] = 0.0
    kept = eliminate(moments(f, f, w).G, W0, 1e-6, [18])[18]
    assert kept.tolist() == [i for i in range(20) if i not in (5, 11)]
