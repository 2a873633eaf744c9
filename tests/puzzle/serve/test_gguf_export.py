"""Children as GGUF files: read back, computed from the file alone, and by llama.cpp where it is installed."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_models import PARENTS, SHAPE, TIED
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM

from tessera.puzzle import child
from tessera.puzzle.models import loading
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve import gguf_export, gguf_layouts, gguf_tokenizer
from tessera.puzzle.serve.gguf_types import Types
from tessera.puzzle.serve.llama_cpp import Engine

TOKENS = torch.randint(1, 64, (1, 24), generator=torch.Generator().manual_seed(1))
CHOICES = {
    "parent": ["parent+parent", "parent+parent", "parent+parent"],
    "narrow": ["kv1+ffn50", "parent+ffn25", "kv1+parent"],
    "linear attention": ["linear+ffn50", "parent+parent", "linear+ffn25"],
    "no attention first": ["no_op+ffn50", "parent+parent", "no_op+ffn25"],
    "no FFN behind attention": ["kv1+no_op", "linear+no_op", "parent+no_op"],
    "empty layers": ["no_op+no_op", "parent+ffn50", "no_op+no_op"],
    "empty in the middle": ["parent+parent", "no_op+no_op", "parent+ffn50"],
    "linear FFN": ["kv1+linear", "parent+linear", "parent+ffn50"],
    "linear FFN alone": ["no_op+linear", "no_op+ffn50", "parent+linear"],
    "both linear": ["linear+linear", "parent+ffn25", "linear+linear"],
    "FFN first": ["no_op+ffn50", "no_op+ffn25", "parent+no_op"],
}
#: Those without linear maps, as openelm has none.
WITHOUT_LINEAR = [choice for choice, blocks in CHOICES.items() if not any("linear" in block for block in blocks)]
#: Parents that llama.cpp can compute; qwen3 has biases.
PARENT_NAMES = [name for name in (*PARENTS, *TIED) if name != "qwen3"]
FORMS = [(choice, "llama") for choice in CHOICES] + [(choice, "qwen3_tied") for choice in WITHOUT_LINEAR]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Keys of a tokenizer of 64 tokens."""
    directory = tmp_path_factory.mktemp("tokenizer")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<bos>": 0, "<eos>": 1} | {letter: i + 2 for i, letter in enumerate(alphabet[:56])}
    vocabulary |= {alphabet[0] + alphabet[1]: 58, alphabet[2] + alphabet[3]: 59}
    made = Tokenizer(models.BPE(vocabulary, [(alphabet[0], alphabet[1]), (alphabet[2], alphabet[3])]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), ByteLevel()
    made.add_special_tokens(["<bos>", "<eos>"])
    made.save(str(directory / "tokenizer.json"))
    settings = {"bos_token": "<bos>", "eos_token": {"content": "<eos>"}, "chat_template": "{{ messages }}"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return gguf_tokenizer.of_directory(directory, "gpt-2", 64)


@pytest.fixture
def made(parent, library, variants):
    def assemble(choice="parent", name="llama"):
        return child.assemble(loading.load(parent(name)), variants, library(name), CHOICES[choice])

    return assemble


def test_tokenizer_is_read_from_its_directory(tokenizer):
    assert len(tokenizer["tokenizer.ggml.tokens"]) == 64
    assert tokenizer["tokenizer.ggml.token_type"] == [3, 3] + 58 * [1] + 4 * [5]
    assert tokenizer["tokenizer.ggml.tokens"][60] == "[PAD60]"
    assert (tokenizer["tokenizer.ggml.bos_token_id"], tokenizer["tokenizer.ggml.eos_token_id"]) == (0, 1)
    assert len(tokenizer["tokenizer.ggml.merges"]) == 2 and "tokenizer.chat_template" in tokenizer


@torch.no_grad()
@pytest.mark.parametrize("choice, name", FORMS)
def test_file_computes_what_the_child_does(made, tokenizer, tmp_path, choice, name):
    one, path = made(choice, name), tmp_path / "child.gguf"
    gguf_export.write(one, path, tokenizer)
    checked = gguf_export.verify(path, one, tokenizer)
    assert checked["largest_error"] == 0 and checked["dtype"] == "float32"
    torch.testing.assert_close(as_llama_cpp(path, TOKENS[0]), one(TOKENS)[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", PARENT_NAMES)
def test_every_parent_that_llama_cpp_knows(parent, tokenizer, tmp_path, name):
    one, path = loading.load(parent(name)), tmp_path / "child.gguf"
    gguf_export.write(one, path, tokenizer)
    gguf_export.verify(path, one, tokenizer)
    torch.testing.assert_close(as_llama_cpp(path, TOKENS[0]), one(TOKENS)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "dtype, most",  # half a step of rounding, relative to the largest of a block
    [
        ("float16", 2**-11),
        ("bfloat16", 2**-8),
        ("q8_0", 1 / 127),
        ("q5_0", 1 / 16),
        ("q4_0", 1 / 8),
        ("mxfp4", 1 / 4),
    ],
)
def test_other_types_round_matrices_alone(made, tokenizer, tmp_path, dtype, most):
    one, path, types = made("narrow"), tmp_path / "child.gguf", Types(dtype)
    if dtype not in ("float16", "bfloat16"):  # of blocks of 32: the tiny child's widths are no multiples of it
        one = wide(64)
    gguf_export.write(one, path, tokenizer, types)
    assert 0 < gguf_export.verify(path, one, tokenizer, types)["largest_error"] <= most
    kinds = {t.name: (t.tensor_type.name, t.shape) for t in reader(path).tensors}
    assert all((kind == "F32") == (len(shape) == 1) for kind, shape in kinds.values())


def test_types_by_tensor(tokenizer, tmp_path):
    """The first pattern that a name contains decides, and what none is in is of the type of most."""
    one, path = wide(64), tmp_path / "child.gguf"
    types = Types("q8_0", {"token_embd": "float16", "ffn_down": "q5_0", r"ffn_": "q4_0"})
    gguf_export.write(one, path, tokenizer, types)
    checked = gguf_export.verify(path, one, tokenizer, types)
    assert checked["types"] == {"F16": 1, "Q4_0": 2, "Q5_0": 1, "Q8_0": 5}
    with pytest.raises(ValueError, match="is of type F16, expected Q8_0"):
        gguf_export.verify(path, one, tokenizer, Types("q8_0"))
    with pytest.raises(ValueError, match=r"tensor type experts: in no name of a matrix; names are such as .+\.weight"):
        gguf_export.write(one, tmp_path / "none", tokenizer, Types("q8_0", {"experts": "q4_0"}))
    with pytest.raises(ValueError, match=r"tensor type \(=q4_0: .+expected a regular expression"):
        Types("q8_0", {"(": "q4_0"})
    with pytest.raises(ValueError, match="tensor type ffn=q6_k: expected one of float32"):
        Types("q8_0", {"ffn": "q6_k"})


@torch.no_grad()
def test_rows_that_are_no_whole_blocks_are_in_float16(made, tokenizer, tmp_path):
    """A tenth of 1,536 channels is 154, and q8_0 has blocks of 32."""
    one, path = wide(154), tmp_path / "child.gguf"
    gguf_export.write(one, path, tokenizer, Types("q8_0"))
    assert 0 < gguf_export.verify(path, one, tokenizer, Types("q8_0"))["largest_error"] <= 0.01
    kinds = {t.name: t.tensor_type.name for t in reader(path).tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"  # its rows are the channels
    assert kinds["blk.0.ffn_up.weight"] == kinds["blk.0.attn_q.weight"] == kinds["token_embd.weight"] == "Q8_0"


def wide(channels):
    """A model of one layer with hidden states of 64, of whole blocks, and that many channels."""
    sizes = {"hidden_size": 64, "head_dim": 16, "intermediate_size": channels, "num_hidden_layers": 1}
    torch.manual_seed(0)
    return LanguageModel(LlamaForCausalLM(LlamaConfig(**SHAPE | sizes)))


def test_same_bytes_and_tokenizer_carried_over(made, tokenizer, tmp_path):
    for name in ("first", "second"):
        gguf_export.write(made("narrow"), tmp_path / name, tokenizer, Types("bfloat16"), license_name="apache-2.0")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert gguf_tokenizer.of_gguf(tmp_path / "first") == tokenizer
    assert reader(tmp_path / "first").get_field("general.license").contents() == "apache-2.0"


def test_layers_are_packed(made, tokenizer, tmp_path):
    """What is dropped takes no layer; a linear map begins one, and an FFN joins what stands before it."""
    counts = {}
    for choice in ("no attention first", "linear FFN", "linear FFN alone", "FFN first", "empty layers"):
        gguf_export.write(made(choice), tmp_path / "file", tokenizer)
        file = reader(tmp_path / "file")
        keys = ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
        counts[choice] = list(zip(*(file.get_field(f"deci.{key}").contents() for key in keys), strict=True))
        checked = gguf_export.verify(tmp_path / "file", made(choice), tokenizer)
        assert checked["layers"] == len(counts[choice]) == file.get_field("deci.block_count").contents()
        padded = {str(i): ["ffn"] for i, (_, _, channels) in enumerate(counts[choice]) if channels == 32}
        first = {"0": ["attention"]} if choice in ("no attention first", "FFN first") else {}
        assert checked["padding"] == padded | first
    assert counts == {
        "no attention first": [(4, 0, 24), (4, 2, 48), (0, 0, 12)],
        "linear FFN": [(4, 1, 32), (4, 0, 32), (4, 2, 32), (4, 0, 32), (4, 2, 24)],
        "linear FFN alone": [(4, 0, 24), (4, 2, 32), (4, 0, 32)],
        "FFN first": [(4, 0, 24), (0, 0, 12), (4, 2, 32)],
        "empty layers": [(4, 2, 24)],
    }


def test_what_llama_cpp_cannot_compute_is_refused(parent, library, variants, made, tokenizer, tmp_path):
    for choice, name in (("both linear", "qwen3_tied"), ("linear attention", "qwen3_tied")):
        with pytest.raises(ValueError, match="openelm has no linear maps, as in layers 0, 2 of this child"):
            gguf_export.write(made(choice, name), tmp_path / "file", tokenizer)
    with pytest.raises(ValueError, match="openelm cannot compute tie_word_embeddings = False"):
        gguf_export.write(made("parent", "qwen3"), tmp_path / "file", tokenizer)
    biased = loading.load(parent("qwen3"))
    biased.config.tie_word_embeddings = True
    with pytest.raises(ValueError, match="openelm cannot compute attention_bias = True"):
        gguf_layouts.layouts(biased)
    one = child.assemble(loading.load(parent()), variants, library(), ["no_op+parent", *2 * ["linear+parent"]])
    with pytest.raises(ValueError, match="no layer of this child has attention"):
        gguf_export.write(one, tmp_path / "file", tokenizer)
    windowed = loading.load(parent())
    windowed.config.puzzle_blocks = [{"attention": {"kind": "own", "window": 4}, "ffn": {}}] * 3
    with pytest.raises(ValueError, match="deci has no form for layer 0 of this child: attention differs in window"):
        gguf_layouts.layouts(windowed)
    windowed.config.puzzle_blocks = [{"attention": {"config": {"num_attention_heads": 2}}, "ffn": {}}] * 3
    with pytest.raises(ValueError, match="deci has no form for layer 0 of this child: attention differs in num_att"):
        gguf_layouts.layouts(windowed)
    windowed.config.model_type = "gemma2"
    with pytest.raises(ValueError, match="layers may differ for model_type 'gemma2'"):
        gguf_layouts.layouts(windowed)
    assert not list(tmp_path.iterdir())


def test_verification_finds_another_value_key_and_tensor(made, tokenizer, tmp_path):
    one, path = made("narrow"), tmp_path / "file"
    gguf_export.write(one, path, tokenizer)
    with pytest.raises(ValueError, match=r"tokenizer\.ggml\.pre is 'gpt-2', the child's is 'qwen2'"):
        gguf_export.verify(path, one, tokenizer | {"tokenizer.ggml.pre": "qwen2"})
    with pytest.raises(ValueError, match=r"deci\.feed_forward_length is \[24, 12, 48\]"):
        gguf_export.verify(path, made("parent"), tokenizer)
    one.module(1).mlp.up_proj.weight.data[3, 5] += 1e-3
    with pytest.raises(ValueError, match=r"the values of blk\.1\.ffn_up\.weight differ from the child's"):
        gguf_export.verify(path, one, tokenizer)


@pytest.mark.parametrize("begins", [False, True])
def test_bos_is_added_as_the_tokenizer_does(tmp_path, begins):
    made = Tokenizer(models.BPE({"<bos>": 0, "a": 1}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens(["<bos>"])
    if begins:
        made.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<bos>"}))
    assert gguf_tokenizer.of_directory(tmp_path, "llama-bpe", 2)["tokenizer.ggml.add_bos_token"] is begins


def test_wrong_tokenizers_are_refused(made, tokenizer, tmp_path):
    short = tokenizer | {"tokenizer.ggml.tokens": tokenizer["tokenizer.ggml.tokens"][:-1]}
    with pytest.raises(ValueError, match="the tokenizer has 63 tokens, the child 64"):
        gguf_export.write(made(), tmp_path / "file", short)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}}))
    with pytest.raises(ValueError, match="byte-level BPE"):
        gguf_tokenizer.of_directory(tmp_path, "gpt-2", 64)
    (tmp_path / "none.gguf").write_bytes(b"GGUX")
    with pytest.raises(ValueError, match="not a GGUF file"):
        gguf_tokenizer.of_gguf(tmp_path / "none.gguf")


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("choice, name", FORMS + [("parent", name) for name in PARENT_NAMES])
def test_llama_cpp_gives_the_childs_probabilities(made, tokenizer, tmp_path, choice, name):
    """Against llama.cpp itself."""
    one, path = made(choice, name), tmp_path / "child.gguf"
    gguf_export.write(one, path, tokenizer)
    wanted = one(TOKENS)[0, -1].log_softmax(-1)
    found = Engine(path, 64).log_probabilities(TOKENS[0].tolist(), 32)
    assert next(iter(found)) == int(wanted.argmax()) and len(found) == 32
    assert max(abs(wanted[token].item() - value) for token, value in found.items()) < 0.015  # its KV cache is float16


def reader(path):
    from gguf import GGUFReader

    return GGUFReader(path)


def as_llama_cpp(path, tokens):
    """Logits (T, V) of tokens (T) from a file alone, by llama.cpp's arithmetic.

    deci rotates neighbouring pairs, openelm halves.
    """
    file = reader(path)
    w = {t.name: torch.from_numpy(np.array(t.data)) for t in file.tensors}
    kind = file.get_field("general.architecture").contents()
    get = {k.removeprefix(f"{kind}."): f.contents() for k, f in file.fields.items() if k.startswith(f"{kind}.")}
    E, eps, T = get["attention.key_length"], get["attention.layer_norm_rms_epsilon"], len(tokens)
    frequencies = get["rope.freq_base"] ** (-torch.arange(0, E, 2) / E) / w.get("rope_freqs.weight", torch.tensor(1.0))
    angles = torch.arange(T)[:, None] * frequencies / get.get("rope.scaling.factor", 1.0)

    def norm(x, name):
        return F.rms_norm(x, x.shape[-1:], w[name], eps)

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def rotated(x, heads):
        pairs = x.view(T, heads, E // 2, 2).unbind(-1)
        a, b = pairs if kind == "deci" else x.view(T, heads, 2, E // 2).unbind(-2)
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        turned = torch.stack((a * cos - b * sin, a * sin + b * cos), -1 if kind == "deci" else -2)
        return turned.view(T, heads, E)

    def projected(h, block, heads, kv):
        """Queries, keys and values."""
        if kind == "deci":
            return (linear(h, f"{block}.attn_{which}") for which in "qkv")
        q, k, v = linear(h, f"{block}.attn_qkv").split([heads * E, kv * E, kv * E], -1)
        return (
            norm(q.view(T, heads, E), f"{block}.attn_q_norm.weight"),
            norm(k.view(T, kv, E), f"{block}.attn_k_norm.weight"),
            v,
        )

    x = w["token_embd.weight"][tokens]
    for i in range(get["block_count"]):
        heads, kv, channels = (
            get[k][i] for k in ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
        )
        block, y = f"blk.{i}", x
        if heads:
            h = norm(x, f"{block}.attn_norm.weight")
            if kv:
                q, k, v = projected(h, block, heads, kv)
                q, k, v = rotated(q, heads), rotated(k, kv), v.view(T, kv, E)
                k, v = (z.repeat_interleave(heads // kv, 1) for z in (k, v))
                scores = torch.einsum("qhe,khe->hqk", q, k) / E**0.5
                weights = scores.masked_fill(~torch.ones(T, T).tril().bool(), -torch.inf).softmax(-1)
                h = torch.einsum("hqk,khe->qhe", weights, v).reshape(T, heads * E)
            y = linear(h, f"{block}.attn_output")
        if not channels:
            continue  # as llama.cpp does: without its attention
        x = y + x if heads else y
        h = norm(x, f"{block}.ffn_norm.weight")
        x = x + linear(F.silu(linear(h, f"{block}.ffn_gate")) * linear(h, f"{block}.ffn_up"), f"{block}.ffn_down")
    return F.linear(norm(x, "output_norm.weight"), w.get("output.weight", w["token_embd.weight"]))
