"""KL divergence, next-token loss and agreement against their plain definitions in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tessera.puzzle.scores import divergence

V, D, N = 50, 12, 23


def random(*shape, seed, scale=1.0, dtype=torch.float32):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear(weight):
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    made.weight.data = weight.clone()
    return made


def plain(parent_logits, logits, targets):
    """KL and next-token loss of each token, and agreement, in float64."""
    log_p, log_q = parent_logits.double().log_softmax(-1), logits.double().log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1)
    return kl, F.nll_loss(log_q, targets, reduction="none"), log_p.argmax(-1) == log_q.argmax(-1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.01, 1.0, 5.0]), shift=st.sampled_from([0.0, -100.0, 100.0]))
def test_comparison_is_the_definition(seed, scale, shift):
    head, other = linear(random(V, D, seed=seed, scale=scale)), linear(random(V, D, seed=seed + 1, scale=scale))
    h, g = random(N, D, seed=seed + 2), random(N, D, seed=seed + 3)
    targets = torch.randint(V, (N,), generator=torch.Generator().manual_seed(seed))
    found = divergence.compare(head, h, [(head, g), (lambda x: other(x) + shift, h), (head, h)], targets)
    for agreement, logits in zip(found, (head(g), other(h), head(h)), strict=True):
        kl, lm, top1 = plain(head(h), logits, targets)
        torch.testing.assert_close(agreement.kl_div.double(), kl, rtol=1e-4, atol=1e-4 if shift else 2e-5)
        torch.testing.assert_close(agreement.lm_loss.double(), lm, rtol=1e-4, atol=1e-4 if shift else 2e-5)
        assert torch.equal(agreement.top1, top1)


@pytest.mark.parametrize("size", [1e-3, 1e-1])
def test_nearly_equal_models_keep_their_precision(size):
    """With a real vocabulary, whose 50,000 rounding errors must not add up."""
    logits = random(64, 49152, seed=0, scale=3.0)
    near = logits + random(64, 49152, seed=1, scale=size) + 2
    kl = plain(logits, near, torch.zeros(64, dtype=torch.long))[0]
    log_p = logits.log_softmax(-1)
    found = divergence.divergence(log_p, log_p.exp(), near.log_softmax(-1)).double()
    assert (found - kl).abs().max() < 5e-6
    assert abs(float(found.mean() - kl.mean())) < 5e-7


def test_agreement_splits_into_windows():
    values = torch.arange(6.0)
    parts = divergence.Agreement(values, values + 10, values > 2).split(3)
    assert [p.kl_div.tolist() for p in parts] == [[0, 1, 2], [3, 4, 5]]
    assert [p.lm_loss.tolist() for p in parts] == [[10, 11, 12], [13, 14, 15]]
    assert [p.top1.tolist() for p in parts] == [[False] * 3, [True] * 3]


@pytest.mark.parametrize("chunk", [1, V, 3 * V, 1000 * V])
def test_chunks_do_not_matter(monkeypatch, chunk):
    head, h, g = linear(random(V, D, seed=0)), random(N, D, seed=1), random(N, D, seed=2).requires_grad_()
    targets = torch.arange(N) % V
    (whole,), loss = divergence.compare(head, h, [(head, g)], targets), {}
    for size in (divergence.CHUNK, chunk):
        monkeypatch.setattr(divergence, "CHUNK", size)
        g.grad = head.weight.grad = None
        values = divergence.distillation_loss(
            (head, linear(head.weight.detach())), (g, h), targets, [head.weight], 1.0, 0.5
        )
        values[0].backward()
        loss[size] = (*values, g.grad, head.weight.grad)
    (parts,) = divergence.compare(head, h, [(head, g)], targets)
    for name in ("kl_div", "lm_loss"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    assert torch.equal(parts.top1, whole.top1)
    for a, b in zip(*loss.values() if len(loss) > 1 else (loss[chunk],) * 2, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_rows_are_at_least_one():
    assert divergence.rows(divergence.CHUNK * 2) == 1
    assert divergence.rows(divergence.CHUNK // 8) == 8


@pytest.mark.parametrize(("kl", "lm"), [(1.0, 0.0), (0.0, 1.0), (0.7, 0.4)])
@pytest.mark.parametrize("train_head", [True, False])
def test_gradient_is_autograds(kl, lm, train_head):
    parent_head = linear(random(V, D, seed=0, dtype=torch.float64))
    head = linear(random(V, D, seed=1, dtype=torch.float64)).requires_grad_(train_head)
    h, targets = random(N, D, seed=2, dtype=torch.float64), torch.arange(N) % V
    g = random(N, D, seed=3, dtype=torch.float64).requires_grad_()
    inputs = [g, head.weight] if train_head else [g]
    loss, mean_kl, mean_lm = divergence.distillation_loss((head, parent_head), (g, h), targets, inputs[1:], kl, lm)
    each_kl, each_lm, _ = plain(parent_head(h), head(g), targets)
    expected = kl * each_kl.mean() + lm * each_lm.mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(mean_kl, each_kl.mean())
    torch.testing.assert_close(mean_lm, each_lm.mean())
    assert not mean_kl.requires_grad and not mean_lm.requires_grad
    found, reference = torch.autograd.grad(3 * loss, inputs), torch.autograd.grad(3 * expected, inputs)
    for a, b in zip(found, reference, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_gradient_of_a_tied_head_has_both_parts():
    """The embedding's own gradient and the head's add up in one weight."""
    tokens, targets = torch.arange(N) % V, (torch.arange(N) + 1) % V
    parent_head, h = linear(random(V, D, seed=0, dtype=torch.float64)), random(N, D, seed=1, dtype=torch.float64)
    head = linear(random(V, D, seed=2, dtype=torch.float64))
    states = head.weight[tokens].tanh(), h
    loss, *_ = divergence.distillation_loss((head, parent_head), states, targets, [head.weight], 1.0, 0.3)
    each_kl, each_lm, _ = plain(parent_head(h), head(head.weight[tokens].tanh()), targets)
    (found,) = torch.autograd.grad(loss, head.weight)
    (expected,) = torch.autograd.grad(each_kl.mean() + 0.3 * each_lm.mean(), head.weight)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
