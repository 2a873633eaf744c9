"""Tokenizers as the keys of a GGUF file: taken over from another one, or made of a Hugging Face directory's."""

import json
from pathlib import Path
from typing import Any

from tessera.common import files
from tessera.data.tokens import prefix


def of_gguf(path: str | Path) -> dict[str, Any]:
    """The tokenizer's keys of another GGUF file, unchanged. Raises ValueError if it is damaged or has none."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
    except (ValueError, IndexError, OSError) as error:
        raise ValueError(f"{path}: truncated or not a GGUF file ({error})") from error
    keys = {name: field.contents() for name, field in reader.fields.items() if name.startswith("tokenizer.")}
    if "tokenizer.ggml.tokens" not in keys:
        raise ValueError(f"{path}: no key 'tokenizer.ggml.tokens'")
    return keys


def of_directory(directory: str | Path, pre: str, vocab_size: int) -> dict[str, Any]:
    """The keys that a Hugging Face directory's byte-level BPE tokenizer becomes.

    pre is llama.cpp's name of how text is cut before the merges, as in llama-bpe, qwen2 or smollm: the tokenizer's file
    does not tell it. Ids from the last token to vocab_size, which parents have for the sake of their kernels, become
    unused tokens. Raises FileNotFoundError, and ValueError if the tokenizer is of another kind.
    """
    from tokenizers import Tokenizer

    directory = Path(directory)
    path = directory / "tokenizer.json"
    content = files.read_json(path)
    model, added = content["model"], content.get("added_tokens", [])
    if model.get("type") != "BPE" or "ByteLevel" not in json.dumps(content.get("pre_tokenizer")):
        raise ValueError(f"{path}: a {model.get('type')} tokenizer; only byte-level BPE can be written")
    ids = model["vocab"] | {token["content"]: token["id"] for token in added}
    for unused in range(len(ids), vocab_size):
        ids[f"[PAD{unused}]"] = unused
    special = {
        unused: 5 for unused in range(len(model["vocab"] | {token["content"]: 0 for token in added}), vocab_size)
    }
    special |= {
        token["id"]: 3 if token.get("special") else 4 for token in added
    }  # control or user-defined; 1 is normal
    tokens = sorted(ids, key=ids.__getitem__)
    if [ids[token] for token in tokens] != list(range(len(tokens))):
        raise ValueError(f"{path}: the ids of its {len(tokens)} tokens are not 0 to {len(tokens) - 1}")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    keys: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [special.get(i, 1) for i in range(len(tokens))],
        "tokenizer.ggml.merges": merges,
    }
    config = directory / "tokenizer_config.json"
    settings = files.read_json(config) if config.is_file() else {}
    for theirs, ours in (("bos", "bos"), ("eos", "eos"), ("unknown", "unk"), ("padding", "pad")):
        token = settings.get(f"{ours}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if token in ids:
            keys[f"tokenizer.ggml.{theirs}_token_id"] = ids[token]
    if "tokenizer.ggml.bos_token_id" in keys:
        encoder = Tokenizer.from_file(str(path))  # llama.cpp adds one by the name of the cut, if it is not told
        keys["tokenizer.ggml.add_bos_token"] = prefix(encoder) == [keys["tokenizer.ggml.bos_token_id"]]
    if isinstance(settings.get("chat_template"), str):
        keys["tokenizer.chat_template"] = settings["chat_template"]
    return keys


def unread(vocabulary: int) -> dict[str, Any]:
    """Keys of a tokenizer of that many tokens for a file that is given tokens, and never text."""
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(vocabulary)],
        "tokenizer.ggml.token_type": [1] * vocabulary,
        "tokenizer.ggml.merges": ["t 0"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
