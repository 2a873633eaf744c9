"""The shape of a decoder-only parent, read from a Hugging Face config.json without importing transformers."""

import json
from dataclasses import dataclass
from pathlib import Path

#: Model types whose blocks are RMSNorm, rotary grouped-query attention and a gated SiLU FFN, each with its residual.
SUPPORTED = ("llama", "mistral", "qwen2", "qwen3")

#: Model type of saved children: the published Nemotron-NAS shape, with the parent's own type beside it.
CHILD = "nemotron-nas"

#: Keys without which there is no shape.
REQUIRED = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")

#: Rotary embeddings that model.rotary_frequencies knows.
ROPE_TYPES = ("default", "linear", "llama3")


@dataclass(frozen=True)
class Architecture:
    """Shape of a Llama-architecture model.

    Sizes are counts, not bytes; head_dim is the width of one attention head; rope_theta is the rotary base.
    """

    model_type: str
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied_embeddings: bool
    norm_eps: float
    rope_parameters: dict
    attention_bias: bool = False  # of the query, key and value projections
    output_bias: bool = False  # of the attention's output projection
    mlp_bias: bool = False
    qk_norm: bool = False
    max_position_embeddings: int = 8192

    @property
    def group_size(self) -> int:
        """Query heads that share one KV head."""
        return self.num_heads // self.num_kv_heads


def read(directory: str | Path) -> Architecture:
    """Return the architecture of the model in a Hugging Face directory.

    Raises FileNotFoundError if there is no config.json and ValueError, naming the file, key and value, where the
    model is not of a supported kind.
    """
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a parent is a Hugging Face directory with a config.json")
    return from_config(json.loads(path.read_text()), path)


def from_config(config: dict, path: str | Path = "config.json") -> Architecture:
    """Return the architecture that a config.json dictionary describes; path is named in errors."""
    kind = config.get("model_type")
    if kind == CHILD:
        kind = config.get("parent_model_type")
    if kind not in SUPPORTED:
        raise ValueError(f"{path}: model_type is {kind!r}; supported are {', '.join(SUPPORTED)}")
    if config.get("hidden_act", "silu") != "silu":
        raise ValueError(f"{path}: hidden_act is {config['hidden_act']!r}; only 'silu' is supported")
    if config.get("use_sliding_window") or (kind == "mistral" and config.get("sliding_window")):
        raise ValueError(f"{path}: sliding-window attention is not supported; set sliding_window to null")
    missing = [k for k in REQUIRED if k not in config]
    if missing:
        raise ValueError(f"{path}: missing {', '.join(missing)}")
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    if heads % kv_heads:
        raise ValueError(f"{path}: num_attention_heads = {heads} is not a multiple of num_key_value_heads = {kv_heads}")
    rope = _rope(config, path)
    return Architecture(
        model_type=kind,
        num_layers=config["num_hidden_layers"],
        hidden_size=config["hidden_size"],
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        intermediate_size=config["intermediate_size"],
        vocab_size=config["vocab_size"],
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
        norm_eps=config.get("rms_norm_eps", 1e-6),
        rope_parameters=rope,
        attention_bias=kind == "qwen2" or (kind != "mistral" and bool(config.get("attention_bias", False))),
        output_bias=kind in ("llama", "qwen3") and bool(config.get("attention_bias", False)),
        mlp_bias=kind == "llama" and bool(config.get("mlp_bias", False)),
        qk_norm=kind == "qwen3",
        max_position_embeddings=config.get("max_position_embeddings", 8192),
    )


def _rope(config: dict, path: str | Path) -> dict:
    """The rotary embedding's parameters in the form of transformers 5. Raises ValueError on types not supported."""
    # transformers 5 writes rope_parameters; 4 wrote rope_theta and rope_scaling, at first with `type` for `rope_type`.
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    rope.setdefault("rope_type", rope.pop("type", "default"))
    if rope["rope_type"] not in ROPE_TYPES:
        raise ValueError(f"{path}: rope_type is {rope['rope_type']!r}; supported are {', '.join(ROPE_TYPES)}")
    if rope.get("partial_rotary_factor", config.get("partial_rotary_factor") or 1.0) != 1.0:
        raise ValueError(f"{path}: partial_rotary_factor is not supported; every head must be rotated as a whole")
    if rope["rope_type"] == "llama3":
        rope.setdefault("original_max_position_embeddings", config.get("max_position_embeddings", 8192))
    wanted = {"linear": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor")}
    missing = [key for key in wanted.get(rope["rope_type"], ()) if key not in rope]
    if missing:
        raise ValueError(f"{path}: rope_type is {rope['rope_type']!r} without {', '.join(missing)}")
    return rope
