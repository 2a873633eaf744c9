"""What a stock form of a child is: a configuration and tensors that an engine reads without code of ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

#: Keys by which a child's own code builds it; no other reader has a use for them.
CHILD_KEYS = ("puzzle_blocks", "block_configs", "per_layer_config", "auto_map", "architectures")


@dataclass(frozen=True)
class Form:
    """A checkpoint that engines read; `words` say what it is, `notes` what stands in for what it has not."""

    words: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    notes: list[str] = field(default_factory=list)
