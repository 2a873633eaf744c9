"""Architectures and spaces that the tests of the costs share."""

from tessera.puzzle.models import architecture
from tessera.puzzle.models.space import Space

SMOLLM2 = architecture.from_config(
    {
        "model_type": "llama",
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
        "rope_theta": 100000.0,
    }
)
LLAMA_70B = architecture.from_config(
    {
        "model_type": "llama",
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28672,
        "vocab_size": 128256,
    }
)


def tiny(model_type: str = "llama", **changes):
    """A small model's config.json."""
    return {
        "model_type": model_type,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "vocab_size": 64,
        "head_dim": 8,
        "max_position_embeddings": 64,
    } | changes


SPACE = Space.model_validate(
    {
        "attention": {
            "kv1": {"kind": "gqa", "kv_heads": 1},
            "linear": {"kind": "linear"},
            "no_op": {"kind": "no_op"},
        },
        "ffn": {
            "ffn75": {"kind": "gated", "width": 0.75},
            "ffn50": {"kind": "gated", "width": 0.5},
            "ffn25": {"kind": "gated", "width": 0.25},
            "linear": {"kind": "linear"},
            "no_op": {"kind": "no_op"},
        },
    }
)
