"""The parent model as five files: float32 weights, configuration, tokenizer and its settings, generation settings.

Whether it comes from a GGUF file in a package, a Hugging Face directory or the hub, what is read later is the same.
"""

from pathlib import Path
from typing import Any

from tessera.common import files
from tessera.data.gguf_parent import Gguf

PATTERNS = ("*.safetensors", "*.json", "chat_template.jinja")


def from_gguf(path: str | Path, directory: str | Path) -> None:
    """Write the parent in a GGUF file to directory, dequantised. Raises ValueError where it is not of a known kind."""
    import torch

    directory, source = Path(directory), Gguf(path)
    weights = {name: torch.tensor(value) for name, value in source.weights().items()}
    files.save_tensors(directory / "model.safetensors", weights, {"format": "pt"})
    files.write_text(directory / "tokenizer.json", source.tokenizer().to_str(pretty=True) + "\n")
    files.write_json(directory / "tokenizer_config.json", source.tokenizer_config())
    files.write_json(directory / "generation_config.json", source.special_tokens())
    files.write_json(directory / "config.json", source.config())


def files_of(directory: str | Path) -> list[str]:
    """Return the files of a Hugging Face directory that `from_directory` may read. Raises FileNotFoundError."""
    if not Path(directory).is_dir():
        raise FileNotFoundError(f"directory:{directory}: no such directory")
    return sorted(str(path) for pattern in PATTERNS for path in Path(directory).glob(pattern))


def from_directory(source: str | Path, directory: str | Path) -> None:
    """Write the parent in a Hugging Face directory to directory, its weights as one float32 file.

    Raises FileNotFoundError where a file is missing (weights are read from safetensors alone, pickles are not), and
    ValueError where the weights are quantised.
    """
    import torch

    source, directory = Path(source), Path(directory)
    config = _json(source, "config.json")
    if "quantization_config" in config:
        kind = config["quantization_config"].get("quant_method")
        raise ValueError(f"{source / 'config.json'}: quantization_config is {kind!r}; valid are unquantised weights")
    shards = sorted(source.glob("*.safetensors"))
    if not shards:
        raise FileNotFoundError(f"{source}: no *.safetensors; weights are read from safetensors, never from pickles")
    weights: dict[str, torch.Tensor] = {}
    for shard in shards:
        weights |= {name: value.to(torch.float32) for name, value in files.load_tensors(shard).items()}
    if config.get("tie_word_embeddings"):
        weights.pop("lm_head.weight", None)
    tokenizer = source / "tokenizer.json"
    if not tokenizer.is_file():
        raise FileNotFoundError(f"{tokenizer}: no such file; a parent needs a fast tokenizer (tokenizer.json)")
    tokenizer_config = _json(source, "tokenizer_config.json", {})
    template = source / "chat_template.jinja"
    if template.is_file():
        tokenizer_config["chat_template"] = template.read_text(encoding="utf-8")
    special = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in config}
    files.save_tensors(directory / "model.safetensors", weights, {"format": "pt"})
    files.write_text(directory / "tokenizer.json", tokenizer.read_text(encoding="utf-8"))
    files.write_json(directory / "tokenizer_config.json", tokenizer_config)
    files.write_json(directory / "generation_config.json", _json(source, "generation_config.json", special))
    config.pop("torch_dtype", None)  # what transformers called dtype before version 5
    files.write_json(directory / "config.json", config | {"dtype": "float32"})


def from_hub(name: str, directory: str | Path) -> None:
    """Write the parent called OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub to directory.

    Raises OSError, naming it, where it cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        snapshot = snapshot_download(repository, revision=revision or None, allow_patterns=list(PATTERNS))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise OSError(f"hub:{name}: cannot be had from the Hugging Face hub ({error})") from error
    from_directory(snapshot, directory)


def _json(directory: Path, name: str, *default: dict) -> dict[str, Any]:
    path = directory / name
    return default[0] if default and not path.is_file() else files.read_json(path)
