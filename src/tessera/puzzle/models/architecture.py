"""The shape of a parent, from its config.json as transformers reads it: any family, and without weights."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera.puzzle.models.skeleton import Skeleton

#: Keys without which there is no shape: transformers would take those of the family's first model.
REQUIRED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
#: Keys by which a child's config.json differs from its parent's.
CHILDS = ("puzzle_blocks", "block_configs", "per_layer_config", "auto_map")


@dataclass(frozen=True, eq=False)
class Architecture:
    """Shape of a causal language model. Sizes are counts, not bytes; head_dim is the width of one attention head."""

    model_type: str
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    """Channels of the FFN, of one expert in a mixture."""
    vocab_size: int
    tied_embeddings: bool
    config: Any = field(repr=False)
    """transformers' configuration."""

    @property
    def group_size(self) -> int:
        """Query heads that share one KV head."""
        return self.num_heads // self.num_kv_heads

    @cached_property
    def skeleton(self) -> "Skeleton":
        """The modules without weights, by which parameters and kernels are counted."""
        from tessera.puzzle.models.skeleton import Skeleton

        return Skeleton(self.config)


def read(directory: str | Path) -> Architecture:
    """Return the architecture of the model in a Hugging Face directory, of a child that of its parent.

    Raises FileNotFoundError if there is no config.json, and ValueError as from_config.
    """
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a parent is a Hugging Face directory with a config.json")
    return from_config(json.loads(path.read_text(encoding="utf-8")), path)


def from_config(config: dict, path: str | Path = "config.json") -> Architecture:
    """Return the architecture that a config.json dictionary describes, with transformers' own defaults.

    Raises ValueError, naming path and key, if transformers knows no causal language model of that kind, or cannot read
    the configuration.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING or CONFIG_MAPPING[kind] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(f"{path}: model_type is {kind!r}, of which transformers has no causal language model")
    names = getattr(CONFIG_MAPPING[kind], "attribute_map", {})
    if missing := [names.get(key, key) for key in REQUIRED if not {key, names.get(key, key)} & config.keys()]:
        raise ValueError(f"{path}: missing {', '.join(missing)}")
    try:
        read = AutoConfig.for_model(**{key: value for key, value in config.items() if key not in CHILDS})
        heads = read.num_attention_heads
        kv_heads = getattr(read, "num_key_value_heads", None) or heads
        # Written out, so that a part of the model may change its number of heads.
        head_dim = getattr(read, "head_dim", None) or read.hidden_size // heads
        widths = (getattr(read, key, None) for key in ("moe_intermediate_size", "intermediate_size"))
        width = next((value for value in widths if isinstance(value, int)), 4 * read.hidden_size)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, StrictDataclassError) as error:
        raise ValueError(f"{path}: transformers cannot read it: {' '.join(str(error).split())[:500]}") from error
    if heads % kv_heads:
        raise ValueError(f"{path}: num_attention_heads = {heads} is not a multiple of num_key_value_heads = {kv_heads}")
    return Architecture(
        model_type=read.model_type,
        num_layers=read.num_hidden_layers,
        hidden_size=read.hidden_size,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=width,
        vocab_size=read.vocab_size,
        tied_embeddings=bool(getattr(read, "tie_word_embeddings", False)),
        config=read,
    )
