"""The configuration of a child in the Nemotron-NAS form. It travels with the checkpoint and imports transformers alone.

Engines ask layer i for `block_configs[i].attention.n_heads_in_group` and its like. Not every model type is known to
transformers by name, so this file says what to read config.json as.
"""

from collections.abc import Sequence
from typing import Any

from transformers import LlamaConfig


class Part(dict):
    """A mapping whose keys are attributes as well; it is saved as the mapping it is."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class DeciLMConfig(LlamaConfig):
    """Llama's configuration, and sizes of attention and FFN of each layer."""

    model_type = "nemotron-nas"

    def __init__(self, block_configs: Sequence[dict[str, Any]] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block_configs = [Part({place: Part(part) for place, part in block.items()}) for block in block_configs]
