"""Small inputs made on the spot: packages, a Llama in GGUF, directories of tokens."""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tokenizers import pre_tokenizers

from tessera.common import files
from tessera.data.packages import Package
from tessera.data.params import TextParams
from tessera.data.tokens import stream

#: Name of a tensor of a block in GGUF, of which blk.<i> is the rest: name in Hugging Face's Llama.
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
HIDDEN, HEADS, KV_HEADS, FFN, LAYERS = 16, 4, 2, 24, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "l l", "he ll", "hell o"]
#: Every message between two special tokens, as in ChatML.
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]


def wheel(path: Path, contents: Mapping[str, bytes]) -> Package:
    """Write an archive at path and return the row that pins it, its members called by their place."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return pin(path, {f"member{i}": name for i, name in enumerate(contents)})


def pin(path: Path, members: Mapping[str, str]) -> Package:
    content = path.read_bytes()
    return Package(
        name="small",
        version="1.0",
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        what="a test",
        license="MIT",
        content="MIT",
        members=dict(members),
    )


def text_params(**changes) -> TextParams:
    values = {
        "sources": {
            name: {"characters": None} for name in ("wiki_leads", "wiki_articles", "speeches", "recipes", "chat")
        },
        "out_of_domain": {"owt": {"characters": None}},
        "min_characters": 1,
        "min_turns": 2,
        "first_year": 1900,
        "test_percent": 5,
        "valid_percent": 5,
    }
    return TextParams(**values | changes)


def llama(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights of a two-layer Llama with tied embeddings, by Hugging Face's names."""
    random = np.random.default_rng(seed)
    rows = {
        "input_layernorm": (HIDDEN,),
        "post_attention_layernorm": (HIDDEN,),
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (HIDDEN * KV_HEADS // HEADS, HIDDEN),
        "self_attn.v_proj": (HIDDEN * KV_HEADS // HEADS, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (FFN, HIDDEN),
        "mlp.up_proj": (FFN, HIDDEN),
        "mlp.down_proj": (HIDDEN, FFN),
    }
    shapes = {"model.embed_tokens.weight": (len(VOCABULARY), HIDDEN), "model.norm.weight": (HIDDEN,)}
    shapes |= {f"model.layers.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in rows.items()}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's converter orders the rows of a query or key projection."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path, weights: Mapping[str, np.ndarray], architecture: str = "llama", pre: str = "smollm") -> None:
    """Write the weights as float32 tensors of a GGUF file."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in VOCABULARY])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT)
    short = {hf: name for name, hf in BLOCK.items()}
    for name, value in weights.items():
        if name == "model.embed_tokens.weight":
            writer.add_tensor("token_embd.weight", value)
        elif name == "model.norm.weight":
            writer.add_tensor("output_norm.weight", value)
        elif name == "rope_freqs.weight":
            writer.add_tensor(name, value)
        else:
            _, _, layer, rest = name.removesuffix(".weight").split(".", 3)
            heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(short[rest])
            writer.add_tensor(f"blk.{layer}.{short[rest]}.weight", permute(value, heads) if heads else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def token_directory(directory: Path, lengths: Mapping[str, Sequence[int]], split: str = "valid") -> Path:
    """Write a split of documents of these lengths; each token tells its document's number and its place in it."""
    sizes = [length for source in lengths.values() for length in source]
    encoded = [np.arange(size, dtype=np.int32) + 1000 * (number + 1) for number, size in enumerate(sizes)]
    tokens, offsets = stream(encoded, 0)
    files.write_npy(directory / f"{split}.npy", tokens)
    sources = [source for source, own in lengths.items() for _ in own]
    columns = {"source": sources, "title": [str(i) for i in range(len(sizes))], "split": split}
    files.write_parquet(directory / "documents.parquet", pd.DataFrame({**columns, "offset": offsets, "length": sizes}))
    return directory


def write_parent(directory):
    """Write the small parent as a Hugging Face directory, from a GGUF file that stays beside it."""
    from tessera.data import parent
    from tessera.data.gguf_parent import Gguf
    from tessera.puzzle.models import loading

    path = directory / "small.gguf"
    directory.mkdir(parents=True, exist_ok=True)
    write_gguf(path, llama())
    file, model = Gguf(path), loading.load_gguf(path)
    config = model.config.to_dict()
    texts = parent.Texts(file.tokenizer(), file.tokenizer_config(), parent.special_tokens(config))
    parent.write(directory, model.state(), config, texts)
