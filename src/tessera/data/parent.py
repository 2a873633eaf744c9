"""The parent model as five files: weights, configuration, tokenizer and its settings, generation settings.

Whether it comes from a GGUF file in a package, a Hugging Face directory or the hub, what is read later is the same.
The weights are read elsewhere, by transformers; here is what comes with them.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera.common import files

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

PATTERNS = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
#: What transformers writes of a tokenizer's or model's origin, which is not the same everywhere.
ORIGIN = (
    *("is_local", "local_files_only", "name_or_path", "_name_or_path", "_model_name_or_path"),
    *("transformers_version", "auto_map"),
)


@dataclass(frozen=True)
class Texts:
    """All of a parent but its weights and configuration."""

    tokenizer: "Tokenizer"
    tokenizer_config: dict[str, Any]
    generation_config: dict[str, Any]

    def check(self, source: Path, rows: int) -> None:
        """Raise ValueError, naming source, if a token has no row in the embedding, which has that many."""
        token, last = max(self.tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
        if last >= rows:
            raise ValueError(
                f"{source}: the tokenizer's {token!r} is token {last}; config.json has vocab_size = {rows}"
            )

    def write(self, directory: Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and generation_config.json."""
        files.write_text(directory / "tokenizer.json", self.tokenizer.to_str(pretty=True) + "\n")
        files.write_json(directory / "tokenizer_config.json", self.tokenizer_config)
        files.write_json(directory / "generation_config.json", self.generation_config)


def write(directory: Path, weights: Mapping[str, "torch.Tensor"], config: Mapping[str, Any], texts: Texts) -> None:
    """Write the five files; the configuration is one of transformers'."""
    dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    plain = {key: value for key, value in config.items() if key not in (*ORIGIN, "quantization_config")}
    files.save_tensors(directory / "model.safetensors", weights, {"format": "pt"})
    texts.write(directory)
    files.write_json(directory / "config.json", plain | {"dtype": dtype})


def files_of(directory: str | Path) -> list[str]:
    """Return the files of a Hugging Face directory that may be read. Raises FileNotFoundError."""
    if not Path(directory).is_dir():
        raise FileNotFoundError(f"directory:{directory}: no such directory")
    return sorted(str(path) for pattern in PATTERNS for path in Path(directory).glob(pattern))


def texts_of(directory: Path) -> Texts:
    """The tokenizer that transformers makes of a directory, and its generation settings.

    Raises FileNotFoundError and ValueError, naming the directory.
    """
    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise FileNotFoundError(f"{directory / 'tokenizer.json'}: no such file; a parent needs a tokenizer")
    config = files.read_json(directory / "config.json")
    settings = directory / "generation_config.json"
    generation = files.read_json(settings) if settings.is_file() else special_tokens(config)
    return Texts(*tokenizer_of(directory), generation)


def special_tokens(config: Mapping[str, Any]) -> dict[str, Any]:
    """The token ids of a configuration, of which generation settings consist if there are none."""
    keys = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {key: config[key] for key in keys if config.get(key) is not None}


def tokenizer_of(directory: Path, **options: Any) -> tuple["Tokenizer", dict[str, Any]]:
    """A tokenizer and its settings, chat template included, as transformers reads them; options are its own.

    Raises ValueError, naming the directory, if it is not one of the tokenizers library.
    """
    from transformers import AutoTokenizer

    try:
        read = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        words = " ".join(str(error).split())[:300]
        raise ValueError(f"{directory}: transformers cannot read the tokenizer: {words}") from error
    if not getattr(read, "is_fast", False):
        raise ValueError(f"{directory}: {type(read).__name__} is not a tokenizer of the tokenizers library")
    with tempfile.TemporaryDirectory() as temporary:
        read.save_pretrained(temporary, save_jinja_files=False)
        config = files.read_json(Path(temporary) / "tokenizer_config.json")
    return read.backend_tokenizer, {key: value for key, value in config.items() if key not in ORIGIN}


def snapshot(name: str) -> Path:
    """Fetch the model called OWNER/NAME or OWNER/NAME@REVISION from the Hugging Face hub; return its directory.

    Raises OSError, naming it, if it cannot be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(PATTERNS)))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OSError(
            f"hub:{name}: cannot be downloaded from the Hugging Face hub; it needs a network ({reason})"
        ) from error
