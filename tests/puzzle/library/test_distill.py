"""Blockwise local distillation: losses, schedule, order of the text, training."""

import math

import pytest
import torch
from torch import nn

from tessera.puzzle.library import distill
from tessera.puzzle.params import OptimiserParams

PARAMS = OptimiserParams(tokens=1600, batch_windows=4, learning_rate=0.1, warmup=0.1)


def data(windows=10, T=8, D=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    inputs = torch.randn(windows, T, D, generator=g) * (1 + 20 * (torch.rand(windows, T, 1, generator=g) > 0.95))
    return inputs, inputs @ torch.randn(D, D, generator=g)


def train(loss="per_token", params=PARAMS, seed=0, **kwargs):
    inputs, targets = data(**kwargs)
    torch.manual_seed(0)
    module = nn.Linear(6, 6)
    start = distill.evaluate(module, inputs, targets, 3)
    history = distill.train(module, module, inputs, targets, params, loss, torch.Generator().manual_seed(seed))
    return module, history, start, distill.evaluate(module, inputs, targets, 3)


def test_losses_by_hand():
    target = torch.tensor([[[3.0, 4.0], [0.0, 100.0]]])
    output = torch.tensor([[[3.0, 3.0], [10.0, 100.0]]])
    found = distill.evaluate(lambda x: x, output, target, 1)
    assert found.per_token == pytest.approx((1 / 25 + 100 / 10_000) / 2)
    assert found.scalar == pytest.approx(101 / 10_025)
    assert distill.evaluate(lambda x: x, target, target, 1) == distill.Losses(0.0, 0.0)
    assert distill.evaluate(torch.zeros_like, target, target, 1) == distill.Losses(1.0, 1.0)


#: Tokens that count, a different number in each window.
MASK = torch.arange(8)[None] % torch.arange(1, 11)[:, None] == 0


def test_masked_losses_are_those_of_what_counts():
    inputs, targets = data()
    found = distill.evaluate(lambda x: x, inputs, targets, 3, MASK)
    alone = distill.evaluate(lambda x: x, inputs[MASK][None], targets[MASK][None], 1)
    assert (found.per_token, found.scalar) == pytest.approx((alone.per_token, alone.scalar))
    everything = torch.ones_like(MASK)
    assert distill.evaluate(lambda x: x, inputs, targets, 3, everything) == distill.evaluate(
        lambda x: x, inputs, targets, 3
    )


@pytest.mark.parametrize("loss", ["per_token", "scalar"])
def test_training_sees_what_counts_alone(loss):
    inputs, targets = data()
    other = torch.where(MASK[..., None], targets, 100.0)

    def trained(targets, mask):
        torch.manual_seed(0)
        module = nn.Linear(6, 6)
        history = distill.train(module, module, inputs, targets, PARAMS, loss, torch.Generator().manual_seed(0), mask)
        return module.weight, history

    for (weight, history), (expected, same) in (
        (trained(other, MASK), trained(targets, MASK)),
        (trained(targets, torch.ones_like(MASK)), trained(targets, None)),
    ):
        assert torch.equal(weight, expected) and history == same
    assert not torch.equal(trained(targets, MASK)[0], trained(targets, None)[0])


def test_batch_does_not_change_losses():
    inputs, targets = data()
    one, all_ = (distill.evaluate(lambda x: x, inputs, targets, batch) for batch in (1, 100))
    assert (one.per_token, one.scalar) == pytest.approx((all_.per_token, all_.scalar), rel=1e-6)


def test_schedule():
    params = PARAMS.model_copy(update={"learning_rate": 2.0, "warmup": 0.2})
    rates = [distill.learning_rate(i, 10, params) for i in range(10)]
    assert rates[:3] == [1.0, 2.0, 2.0]
    assert rates[2:] == pytest.approx([1 + math.cos(math.pi * i / 8) for i in range(8)])
    assert distill.learning_rate(0, 1, PARAMS) == PARAMS.learning_rate
    assert distill.learning_rate(0, 5, PARAMS.model_copy(update={"warmup": 0.0})) == PARAMS.learning_rate


@pytest.mark.parametrize("batch", [1, 4, 5, 13])
def test_every_window_once_an_epoch_in_a_new_order(batch):
    params = PARAMS.model_copy(update={"batch_windows": batch, "tokens": 8 * batch * 30})

    def order(seed):
        return list(distill.batches(10, params, 8, torch.Generator().manual_seed(seed)))

    found = order(0)
    assert [len(b) for b in found] == [batch] * 30
    flat = torch.cat(found).tolist()
    epochs = [flat[i : i + 10] for i in range(0, len(flat) - 9, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert torch.equal(torch.cat(order(0)), torch.cat(found)) and not torch.equal(torch.cat(order(1)), torch.cat(found))


def test_number_of_steps():
    def steps(tokens):
        params = PARAMS.model_copy(update={"tokens": tokens})
        return len(list(distill.batches(10, params, 8, torch.Generator())))

    assert [steps(n) for n in (0, 1, 32, 95, 96)] == [0, 1, 1, 2, 3]


def test_no_window_is_a_clear_error():
    with pytest.raises(ValueError, match=r"calibration\.tokens holds no whole window"):
        next(distill.batches(0, PARAMS, 8, torch.Generator()))


@pytest.mark.parametrize("loss", ["per_token", "scalar"])
def test_training_lowers_its_loss(loss):
    module, history, start, end = train(loss)
    assert getattr(end, loss) < 0.5 * getattr(start, loss)
    assert history.tokens == list(range(32, 1601, 32)) and len(history.loss) == 50
    assert not any(p.requires_grad for p in module.parameters())


def test_each_form_is_best_at_its_own_loss():
    """A few tokens of huge norm rule the scalar form."""
    per_token, scalar = train("per_token")[-1], train("scalar")[-1]
    assert per_token.per_token < scalar.per_token


def test_first_training_loss_is_that_of_its_batch():
    inputs, targets = data()
    (chosen, *_) = distill.batches(10, PARAMS, 8, torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    module = nn.Linear(6, 6)
    expected = distill.evaluate(module, inputs[chosen], targets[chosen], 10)
    for loss in ("per_token", "scalar"):
        assert train(loss, seed=3)[1].loss[0] == pytest.approx(getattr(expected, loss), rel=1e-5)


def test_training_is_deterministic():
    first, second, other = train(), train(), train(seed=1)
    assert first[1] == second[1] and torch.equal(first[0].weight, second[0].weight)
    assert first[1] != other[1]


def test_no_tokens_train_nothing():
    _, history, start, end = train(params=PARAMS.model_copy(update={"tokens": 0}))
    assert history == distill.History() and start == end


def test_loss_that_is_not_finite_is_a_clear_error():
    inputs, targets = data()
    module = nn.Linear(6, 6)
    targets[:] = float("nan")
    with pytest.raises(ValueError, match=r"the loss became nan: lower learning_rate, now 0\.1"):
        distill.train(module, module, inputs, targets, PARAMS, "per_token", torch.Generator())


def test_gradient_is_clipped_and_only_matrices_decay():
    module = nn.Linear(6, 6)
    adam = distill.optimiser(list(module.parameters()), PARAMS.model_copy(update={"weight_decay": 0.3}))
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in adam.param_groups] == [(0.3, [2]), (0.0, [1])]
    parameters = list(module.parameters())
    distill.step(1e6 * module(torch.ones(6)).sum(), parameters, adam, 0.02, PARAMS)
    norm = torch.stack([p.grad.norm() for p in parameters]).norm()
    assert float(norm) == pytest.approx(PARAMS.clip, rel=1e-4)
    assert all(g["lr"] == 0.02 for g in adam.param_groups)
