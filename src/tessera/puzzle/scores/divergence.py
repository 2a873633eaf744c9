"""KL(parent || child) over the vocabulary, without ever holding all logits.

    KL = sum_v p_v (log p_v - log q_v)

of normalised log-probabilities: in float32 its error is a few 1e-7 nats, also where the two nearly agree.
Shapes: N tokens, D hidden size, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: Logits held at once, in numbers: 32 MiB of float32, as much as glibc takes again without asking the kernel for pages.
CHUNK = 2**23

Head = Callable[[Tensor], Tensor]


@dataclass
class Agreement:
    """A child against its parent, token by token, (N,) each: nats, nats, and whether their likeliest tokens agree."""

    kl_div: Tensor
    lm_loss: Tensor
    top1: Tensor

    def split(self, tokens: int | list[int]) -> "list[Agreement]":
        """Agreement of each window of that many tokens, the same of all or one number per window."""
        parts = (self.kl_div.split(tokens), self.lm_loss.split(tokens), self.top1.split(tokens))
        return [Agreement(*part) for part in zip(*parts, strict=True)]


def rows(vocabulary: int) -> int:
    """Tokens whose logits are held at once."""
    return max(1, CHUNK // vocabulary)


def divergence(log_p: Tensor, p: Tensor, log_q: Tensor) -> Tensor:
    """KL (N,) of log-probabilities log_p and log_q, (N, V) each; p is exp(log_p)."""
    return torch.linalg.vecdot(p, log_p - log_q)


@torch.no_grad()
def compare(
    parent: Head,
    parent_hidden: Tensor,
    children: Sequence[tuple[Head, Tensor]],
    targets: Tensor,
    tick: Callable[[], object] = lambda: None,
) -> list[Agreement]:
    """Agreement of several children, each a head and its last hidden states, with one parent.

    Heads map last hidden states (N, D) to logits; targets (N,) are the next tokens, on any device. tick is called
    before each of the `rows` of tokens at once, to show progress.
    """
    targets = targets.to(parent_hidden.device)
    by_child: list[list[Agreement]] = [[] for _ in children]
    chunk = rows(parent(parent_hidden[:1]).shape[-1])
    for start in range(0, len(targets), chunk):
        tick()
        part = slice(start, start + chunk)
        log_p = parent(parent_hidden[part]).float().log_softmax(-1)
        p, best = log_p.exp(), log_p.argmax(-1)
        for (head, hidden), agreements in zip(children, by_child, strict=True):
            log_q = head(hidden[part]).float().log_softmax(-1)
            lm_loss = -log_q.gather(-1, targets[part, None])[:, 0]
            agreements.append(Agreement(divergence(log_p, p, log_q), lm_loss, log_q.argmax(-1) == best))
    return [
        Agreement(*(torch.cat([getattr(a, f) for a in parts]) for f in ("kl_div", "lm_loss", "top1")))
        for parts in by_child
    ]


class _Distillation(torch.autograd.Function):
    """Mean of kl * KL(parent || child) + lm * next-token loss over tokens, its gradient taken chunk by chunk.

    Forward does the work of backward as well: d/dz = ((kl + lm) softmax(z) - kl p - lm onehot(target)) / N, from where
    the child's own head goes on. The heads may compute in a lower precision; all else is in that of hidden.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, heads: tuple[Head, Head], parent_hidden: Tensor, targets: Tensor,
        kl: float, lm: float, *parameters: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        N, full = len(hidden), hidden.dtype
        grad_hidden, grads = torch.empty_like(hidden), [None] * len(parameters)
        total_kl = torch.zeros((), dtype=torch.float64, device=hidden.device)
        total_lm = torch.zeros_like(total_kl)
        with torch.no_grad():
            chunk = rows(heads[0](hidden[:1]).shape[-1])
        for start in range(0, N, chunk):
            part = slice(start, start + chunk)
            with torch.no_grad():
                log_p = heads[1](parent_hidden[part]).to(full).log_softmax(-1)
            with torch.enable_grad():
                h = hidden[part].detach().requires_grad_()
                z = heads[0](h)
            p, log_q = log_p.exp(), z.detach().to(full).log_softmax(-1)
            right = log_q.gather(-1, targets[part, None])
            total_kl += divergence(log_p, p, log_q).sum(dtype=torch.float64)
            total_lm -= right.sum(dtype=torch.float64)
            grad = log_q.exp_().mul_(kl + lm).sub_(p, alpha=kl)
            grad.scatter_add_(-1, targets[part, None], torch.full_like(right, -lm))
            grad /= N
            own, *others = torch.autograd.grad(z, [h, *parameters], grad.to(z.dtype), allow_unused=True)
            grad_hidden[part] = own
            grads = [a if b is None else b if a is None else a.add_(b) for a, b in zip(grads, others, strict=True)]
        ctx.save_for_backward(grad_hidden, *grads)
        mean_kl, mean_lm = (total_kl / N).to(full), (total_lm / N).to(full)
        ctx.mark_non_differentiable(mean_kl, mean_lm)
        return kl * mean_kl + lm * mean_lm, mean_kl, mean_lm

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        hidden, *parameters = (None if saved is None else grads[0] * saved for saved in ctx.saved_tensors)
        return hidden, None, None, None, None, None, *parameters


def distillation_loss(
    heads: tuple[Head, Head],
    hidden: tuple[Tensor, Tensor],
    targets: Tensor,
    parameters: Sequence[Tensor] = (),
    kl: float = 1.0,
    lm: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """kl * mean KL + lm * mean next-token loss, and the two means by themselves.

    heads are the child's and the parent's, hidden their last hidden states (N, D) before the final norm, targets (N,)
    the next tokens. Gradients go to the child's hidden states and to those of `parameters` that its head has. No more
    than CHUNK logits of each model exist at once. Under autocast the heads' matrix products, forwards and backwards,
    are in its type.
    """
    child, parent = hidden
    return _Distillation.apply(child, heads, parent, targets, kl, lm, *parameters)
