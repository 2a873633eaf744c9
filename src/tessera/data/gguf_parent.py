"""A GGUF file of a Llama-architecture model, dequantised: weights, configuration and tokenizer in Hugging Face's terms.

GGUF is the single-file format of llama.cpp: quantised tensors and key-value metadata.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Name of a tensor in GGUF: name in Hugging Face's Llama; those of a block follow blk.<i> and model.layers.<i>.
OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class Gguf:
    """An open GGUF file."""

    def __init__(self, path: str | Path):
        from gguf import GGUFReader

        self.path = Path(path)
        try:
            self.reader = GGUFReader(self.path)
        except (ValueError, IndexError, OSError) as error:
            raise ValueError(f"{path}: truncated or not a GGUF file ({error}); delete it and run again") from error
        kind = self.get("general.architecture")
        if kind != "llama":
            raise ValueError(f"{path}: general.architecture is {kind!r}; only 'llama' is read from GGUF")

    def get(self, key: str, *default: Any) -> Any:
        """Value of a metadata key. Raises ValueError where it is missing and no default is given."""
        if field := self.reader.get_field(key):
            return field.contents()
        if default:
            return default[0]
        raise ValueError(f"{self.path}: has no key {key!r}")

    def weights(self) -> dict[str, np.ndarray]:
        """Return the parameters as float32 arrays by Hugging Face's names."""
        from gguf.quants import dequantize

        heads = self.get("llama.attention.head_count")
        grouped = {"attn_q": heads, "attn_k": self.get("llama.attention.head_count_kv", heads)}
        found = {}
        for tensor in self.reader.tensors:
            *block, kind, parameter = tensor.name.split(".")  # blk.<i>.attn_q.weight or token_embd.weight
            names = BLOCK if block else OUTER
            if kind not in names:
                raise ValueError(f"{self.path}: the tensor {tensor.name!r} is none of a Llama: {', '.join(names)}")
            prefix = f"model.layers.{block[1]}." if block else ""
            value = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
            found[f"{prefix}{names[kind]}.{parameter}"] = unpermute(value, grouped[kind]) if kind in grouped else value
        return found

    def config(self) -> dict[str, Any]:
        """Return what config.json holds."""
        if scaling := self.get("llama.rope.scaling.type", None):
            raise ValueError(
                f"{self.path}: llama.rope.scaling.type is {scaling!r}; only plain rotary positions are read"
            )
        names = {tensor.name for tensor in self.reader.tensors}
        hidden, heads = self.get("llama.embedding_length"), self.get("llama.attention.head_count")
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "float32",
            "hidden_act": "silu",
            "vocab_size": len(self.get("tokenizer.ggml.tokens")),
            "hidden_size": hidden,
            "intermediate_size": self.get("llama.feed_forward_length"),
            "num_hidden_layers": self.get("llama.block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self.get("llama.attention.head_count_kv", heads),
            "head_dim": self.get("llama.attention.key_length", hidden // heads),
            "max_position_embeddings": self.get("llama.context_length"),
            "rms_norm_eps": shortest(self.get("llama.attention.layer_norm_rms_epsilon")),
            "rope_theta": shortest(self.get("llama.rope.freq_base", 10000.0)),
            "attention_bias": "blk.0.attn_q.bias" in names,
            "mlp_bias": "blk.0.ffn_up.bias" in names,
            "tie_word_embeddings": "output.weight" not in names,
            "initializer_range": 0.02,
            **self.special_tokens(),
        }

    def special_tokens(self) -> dict[str, int]:
        """Return bos_token_id, eos_token_id and pad_token_id, those that there are."""
        names = {"bos": "bos", "eos": "eos", "padding": "pad"}
        found = {hf: self.get(f"tokenizer.ggml.{name}_token_id", None) for name, hf in names.items()}
        return {f"{name}_token_id": token for name, token in found.items() if token is not None}

    def tokenizer(self) -> "Tokenizer":
        """Return the byte-level BPE tokenizer. Raises ValueError where the file holds one of another kind."""
        from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

        kind, pre = self.get("tokenizer.ggml.model"), self.get("tokenizer.ggml.pre", "default")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
        # llama.cpp names how text is cut before the merges: smollm sets every digit apart, as does starcoder.
        digits = pre_tokenizers.Split(Regex(r"\p{N}"), "isolated")
        digits_first = pre_tokenizers.Sequence([digits, byte_level])
        known = {"default": byte_level, "gpt-2": byte_level, "smollm": digits_first, "starcoder": digits_first}
        if kind != "gpt2" or pre not in known:
            raise ValueError(
                f"{self.path}: tokenizer.ggml.model is {kind!r} and tokenizer.ggml.pre {pre!r}; read are 'gpt2' with "
                f"{', '.join(known)}"
            )
        tokens = self.get("tokenizer.ggml.tokens")
        merges = [tuple(merge.split(" ")) for merge in self.get("tokenizer.ggml.merges")]
        made = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
        made.pre_tokenizer, made.decoder = known[pre], decoders.ByteLevel()
        types = self.get("tokenizer.ggml.token_type")  # 3: a control token
        made.add_special_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, types, strict=True) if k == 3])
        return made

    def tokenizer_config(self) -> dict[str, Any]:
        """Return what tokenizer_config.json holds, the chat template included."""
        tokens = self.get("tokenizer.ggml.tokens")
        names = {"bos": "bos", "eos": "eos", "padding": "pad", "unknown": "unk"}
        found = {hf: self.get(f"tokenizer.ggml.{name}_token_id", None) for name, hf in names.items()}
        config = {f"{name}_token": tokens[token] for name, token in found.items() if token is not None}
        if template := self.get("tokenizer.chat_template", None):
            config["chat_template"] = template
        return config | {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.get("llama.context_length"),
            "clean_up_tokenization_spaces": False,
        }


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undo llama.cpp's reordering of the rows of a query or key projection, (heads * head_dim, ...).

    llama.cpp rotates neighbouring pairs (0, 1), (2, 3)...; Hugging Face rotates (i, i + head_dim / 2).
    """
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, half, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def shortest(value: float) -> float:
    """The shortest decimal that float32 rounds to value: 1e-05 for 9.999999747378752e-06."""
    return float(str(np.float32(value)))
