"""What stands in a child's layer in the place of a subblock or norm of the parent's."""

from typing import Any

import torch
from torch import Tensor, nn
from vllm.model_executor.layers.linear import ReplicatedLinear


def hidden_states(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The hidden states that a subblock is called with, beside positions and the like.

    Raises TypeError if there are none.
    """
    if (named := kwargs.get("hidden_states")) is not None:
        return named
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) and value.is_floating_point():
            return value
    raise TypeError("a subblock was called without hidden states")


class Linear(nn.Module):
    """A linear map of each token by itself; every process of a tensor-parallel group computes the whole of it."""

    def __init__(self, size: int, quant_config: Any, prefix: str) -> None:
        super().__init__()
        self.linear = ReplicatedLinear(size, size, bias=False, quant_config=quant_config, prefix=f"{prefix}.linear")

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.linear(hidden_states(args, kwargs))[0]


class Nothing(nn.Module):
    """Adds nothing to the hidden states."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return torch.zeros_like(hidden_states(args, kwargs))


class NoNorm(nn.Module):
    """In the place of a norm whose subblock adds nothing: as vLLM's norms, it also adds what comes to the residual."""

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Any:
        if residual is None:
            return x
        summed = x + residual
        return summed, summed
