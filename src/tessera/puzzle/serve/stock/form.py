"""What a stock form of a child is: a configuration and tensors that an engine reads without code of ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

#: Keys by which a child's own code builds it; no other reader has a use for them.
CHILD_KEYS = ("puzzle_blocks", "block_configs", "per_layer_config", "auto_map", "architectures")


def rotary(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary embeddings in the keys of transformers 4, which other readers know, from `rope_parameters` of 5.

    A family whose layers of full and of sliding attention rotate differently has them by these names.
    """
    if "full_attention" in parameters:
        return rotary(parameters["full_attention"]) | {
            "rope_local_base_freq": parameters["sliding_attention"]["rope_theta"]
        }
    scaling = {key: value for key, value in parameters.items() if key != "rope_theta"}
    scaled = scaling.get("rope_type", "default") != "default"
    return {"rope_theta": parameters["rope_theta"], "rope_scaling": scaling if scaled else None}


@dataclass(frozen=True)
class Form:
    """A checkpoint that engines read; `words` say what it is, `notes` what stands in for what it has not."""

    words: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    notes: list[str] = field(default_factory=list)
