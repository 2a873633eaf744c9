"""What transformers does not read of a GGUF file: how its tokenizer cuts text; and what it would leave out in silence.

GGUF is the single-file format of llama.cpp: quantised tensors and key-value metadata.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: llama.cpp's names of how a byte-level tokenizer cuts text before the merges: as read here, and by transformers.
CUTS = ("default", "gpt-2", "smollm", "starcoder")
CUTS_OF_TRANSFORMERS = ("qwen2", "llama-bpe")


class Gguf:
    """An open GGUF file."""

    def __init__(self, path: str | Path):
        """Raises ValueError, naming the file, if it is damaged or transformers would misread it."""
        from gguf import GGUFReader

        self.path = Path(path)
        try:
            self.reader = GGUFReader(self.path)
        except (ValueError, IndexError, OSError) as error:
            raise ValueError(f"{path}: truncated or not a GGUF file ({error}); delete it and run again") from error
        kind = self.get("general.architecture")
        scaling = self.get(f"{kind}.rope.scaling.type", "none")
        if scaling != "none" or "rope_freqs.weight" in {tensor.name for tensor in self.reader.tensors}:
            raise ValueError(
                f"{path}: {kind}.rope.scaling.type is {scaling!r} or there are rope_freqs; transformers reads only "
                "plain rotary positions of GGUF files"
            )
        model, pre = self.get("tokenizer.ggml.model"), self.get("tokenizer.ggml.pre", "default")
        if model == "gpt2" and pre not in (*CUTS, *CUTS_OF_TRANSFORMERS):
            raise ValueError(
                f"{path}: tokenizer.ggml.pre is {pre!r}; of tokenizers of the kind 'gpt2', "
                f"{', '.join((*CUTS, *CUTS_OF_TRANSFORMERS))} are read"
            )

    def get(self, key: str, *default: Any) -> Any:
        """Value of a metadata key. Raises ValueError where it is missing and no default is given."""
        if field := self.reader.get_field(key):
            return field.contents()
        if default:
            return default[0]
        raise ValueError(f"{self.path}: has no key {key!r}")

    @property
    def names_cut(self) -> bool:
        """Whether the tokenizer is byte-level BPE whose cut `tokenizer` knows; transformers 5.23 ignores its name."""
        return self.get("tokenizer.ggml.model") == "gpt2" and self.get("tokenizer.ggml.pre", "default") in CUTS

    def tokenizer(self) -> "Tokenizer":
        """Return the byte-level BPE tokenizer; only if `names_cut` is true."""
        from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
        # llama.cpp names how text is cut before the merges: smollm sets every digit apart, as does starcoder.
        digits = pre_tokenizers.Split(Regex(r"\p{N}"), "isolated")
        digits_first = pre_tokenizers.Sequence([digits, byte_level])
        known = {"default": byte_level, "gpt-2": byte_level, "smollm": digits_first, "starcoder": digits_first}
        tokens = self.get("tokenizer.ggml.tokens")
        merges = [tuple(merge.split(" ")) for merge in self.get("tokenizer.ggml.merges")]
        made = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
        made.pre_tokenizer, made.decoder = known[self.get("tokenizer.ggml.pre", "default")], decoders.ByteLevel()
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
            "model_max_length": self.get(f"{self.get('general.architecture')}.context_length"),
            "clean_up_tokenization_spaces": False,
        }


def shortest(value: float) -> float:
    """The shortest decimal that float32 rounds to value: 1e-05 for 9.999999747378752e-06."""
    return float(str(np.float32(value)))
