"""Blockwise local distillation (BLD): a variant learns to imitate the parent's block on the parent's activations.

The loss of a variant is the normalised squared error of the block's output o = (hidden states after the block),

    per token:  mean_t |o_parent,t - o_child,t|^2 / |o_parent,t|^2
    scalar:     sum_t |o_parent,t - o_child,t|^2 / sum_t |o_parent,t|^2        [paper]

A few tokens of huge norm rule the scalar form, so the per-token one is trained on by default and both are reported. Of
text with a mask (see tessera.puzzle.text) the tokens t are those that count.
Decoupled: an attention variant has the parent's FFN frozen behind it, an FFN variant the parent's attention before it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tessera.puzzle.library.activations import States
from tessera.puzzle.params import OptimiserParams
from tessera.puzzle.text import counted


@dataclass(frozen=True)
class Losses:
    """Normalised errors of a variant's block output on some text, 0 for the parent's own block."""

    per_token: float
    scalar: float


@dataclass
class History:
    """Training loss by tokens seen."""

    tokens: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)


def errors(target: Tensor, output: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Squared error and squared norm of each token that counts, (N,) each, of (B, T, D) and mask (B, T)."""
    target, output = counted(target, mask), counted(output, mask)
    return (target - output).square().sum(-1), target.square().sum(-1)


@torch.no_grad()
def evaluate(
    forward: Callable[[Tensor], Tensor], inputs: States, targets: States, batch: int, mask: Tensor | None = None
) -> Losses:
    """Losses of forward(inputs) against targets, both (windows, T, D); mask (windows, T), None if all tokens count."""
    parts = [slice(i, i + batch) for i in range(0, len(inputs), batch)]
    error, norm = zip(
        *(errors(targets[part], forward(inputs[part]), None if mask is None else mask[part]) for part in parts),
        strict=True,
    )
    e, n = torch.cat(error).double(), torch.cat(norm).double()
    return Losses(per_token=float((e / n).mean()), scalar=float(e.sum() / n.sum()))


def learning_rate(step: int, steps: int, params: OptimiserParams) -> float:
    """Rate of step 0..steps-1: a linear warm-up, then half a cosine down to 0."""
    warmup = max(1, round(params.warmup * steps))
    if step < warmup:
        return params.learning_rate * (step + 1) / warmup
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def batches(windows: int, params: OptimiserParams, window: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of the windows of each step: every window once an epoch, in a new order, until the tokens are spent.

    Raises ValueError if there is no window.
    """
    if not windows:
        raise ValueError("no training text: calibration.tokens holds no whole window")
    steps = max(1, params.tokens // (params.batch_windows * window)) if params.tokens else 0
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        while len(order) < params.batch_windows:
            order = torch.cat((order, torch.randperm(windows, generator=generator)))
        yield order[: params.batch_windows]
        order = order[params.batch_windows :]


def optimiser(
    parameters: list[nn.Parameter], params: OptimiserParams, states: Literal["float32", "8bit"] = "float32"
) -> torch.optim.Optimizer:
    """AdamW over parameters, its moments in float32 or 8 bits; norms and biases do not decay.

    Raises ValueError if 8 bits are asked for and torchao is not installed.
    """
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": params.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if states == "8bit":
        return adamw_8bit()(groups, lr=params.learning_rate, betas=params.betas)
    return torch.optim.AdamW(groups, lr=params.learning_rate, betas=params.betas, fused=True)


def adamw_8bit() -> Any:
    """torchao's AdamW with moments of 8 bits and a scale for each 256 of them. Raises ValueError without torchao."""
    try:
        from torchao.optim import AdamW8bit
    except ImportError as error:
        raise ValueError(
            f"puzzle.heal.optimiser_states = 8bit: {error}; expected float32, or pip install 'tessera[low-memory]'"
        ) from None
    return AdamW8bit


def step(
    loss: Tensor, parameters: list[nn.Parameter], optimiser: torch.optim.Optimizer, rate: float, params: OptimiserParams
) -> None:
    """One clipped gradient step at a learning rate. Raises ValueError if the loss is not finite."""
    if not torch.isfinite(loss):
        raise ValueError(f"the loss became {loss.item()}: lower learning_rate, now {params.learning_rate}")
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, params.clip)
    optimiser.step()


def train(
    module: nn.Module,
    forward: Callable[[Tensor], Tensor],
    inputs: States,
    targets: States,
    params: OptimiserParams,
    loss: str,
    generator: torch.Generator,
    mask: Tensor | None = None,
) -> History:
    """Train module, which forward uses, so that forward(inputs) imitates targets, both (windows, T, D).

    loss is `per_token` or `scalar`; mask (windows, T) has the tokens that count, None for all. Returns the training
    loss of every step.
    """
    parameters = list(module.requires_grad_(True).parameters())
    adam, history = optimiser(parameters, params), History()
    order = list(batches(len(inputs), params, inputs.shape[1], generator))
    for i, chosen in enumerate(order):
        error, norm = errors(targets[chosen], forward(inputs[chosen]), None if mask is None else mask[chosen])
        value = (error / norm).mean() if loss == "per_token" else error.sum() / norm.sum()
        step(value, parameters, adam, learning_rate(i, len(order), params), params)
        history.tokens.append((i + 1) * params.batch_windows * inputs.shape[1])
        history.loss.append(float(value.detach()))
    module.requires_grad_(False)
    return history
