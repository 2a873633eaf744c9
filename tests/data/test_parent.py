"""Parents from GGUF files and Hugging Face directories."""

import json

import numpy as np
import pytest
import small_data
import torch

from tessera.common import files
from tessera.data import parent
from tessera.data.gguf_parent import Gguf, shortest, unpermute

FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"}


@pytest.fixture
def gguf(tmp_path):
    small_data.write_gguf(tmp_path / "small.gguf", small_data.llama())
    return tmp_path / "small.gguf"


def test_unquantised_weights_come_back_bit_by_bit(gguf, tmp_path):
    parent.from_gguf(gguf, tmp_path / "parent")
    found = files.load_tensors(tmp_path / "parent/model.safetensors")
    expected = small_data.llama()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name].numpy(), expected[name]) for name in expected)
    assert {path.name for path in (tmp_path / "parent").iterdir()} == FILES


def test_the_configuration_is_plain(gguf, tmp_path):
    parent.from_gguf(gguf, tmp_path / "parent")
    config = files.read_json(tmp_path / "parent/config.json")
    assert config["rms_norm_eps"] == 1e-5 and config["rope_theta"] == 100000.0
    assert config["tie_word_embeddings"] is True and "quantization_config" not in config
    assert files.read_json(tmp_path / "parent/generation_config.json") == {"bos_token_id": 1, "eos_token_id": 2}
    tokenizer = files.read_json(tmp_path / "parent/tokenizer_config.json")
    assert (tokenizer["eos_token"], tokenizer["chat_template"]) == ("<|im_end|>", small_data.CHAT)


def test_quantised_weights_are_as_near_as_their_kind_allows(tmp_path):
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    value = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    kind = GGMLQuantizationType.Q8_0
    assert np.abs(dequantize(quantize(value, kind), kind) - value).max() < np.abs(value).max() / 127


def test_digits_stand_alone_where_the_file_says_so(gguf, tmp_path):
    split = Gguf(gguf).tokenizer().pre_tokenizer.pre_tokenize_str("in  1984")
    assert [piece for piece, _ in split] == ["in", "ĠĠ", "1", "9", "8", "4"]
    small_data.write_gguf(tmp_path / "gpt2.gguf", small_data.llama(), pre="gpt-2")
    split = Gguf(tmp_path / "gpt2.gguf").tokenizer().pre_tokenizer.pre_tokenize_str("in  1984")
    assert [piece for piece, _ in split] == ["in", "Ġ", "Ġ1984"]


def test_unknown_kinds_are_refused(tmp_path):
    small_data.write_gguf(tmp_path / "a.gguf", small_data.llama(), architecture="gemma3")
    with pytest.raises(ValueError, match=r"a\.gguf: general\.architecture is 'gemma3'; only 'llama'"):
        Gguf(tmp_path / "a.gguf")
    small_data.write_gguf(tmp_path / "b.gguf", small_data.llama(), pre="tekken")
    with pytest.raises(ValueError, match=r"b\.gguf: .*'tekken'; read are 'gpt2' with default, gpt-2, smollm"):
        Gguf(tmp_path / "b.gguf").tokenizer()


@pytest.mark.parametrize("keep", [0, 3, 200])
def test_truncated_files_are_named(gguf, keep):
    gguf.write_bytes(gguf.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"small\.gguf: truncated or not a GGUF file"):
        Gguf(gguf)


def test_a_file_cut_inside_its_weights_is_named(gguf):
    gguf.write_bytes(gguf.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"small\.gguf: truncated or not a GGUF file"):
        Gguf(gguf)


def test_unpermute_undoes_permute():
    value = np.arange(24 * 3.0).reshape(24, 3)
    assert np.array_equal(unpermute(small_data.permute(value, 4), 4), value)


def test_shortest_decimals():
    assert shortest(9.999999747378752e-06) == 1e-05
    assert shortest(float(np.float32(0.1))) == 0.1
    assert shortest(10000.0) == 10000.0


@pytest.fixture
def directory(gguf, tmp_path):
    """A Hugging Face directory with bfloat16 weights in two shards, tied embeddings stored twice."""
    parent.from_gguf(gguf, tmp_path / "hf")
    weights = files.load_tensors(tmp_path / "hf/model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    (tmp_path / "hf/model.safetensors").unlink()
    names = sorted(weights)
    for i, part in enumerate((names[:9], names[9:]), 1):
        shard = tmp_path / f"hf/model-0000{i}-of-00002.safetensors"
        files.save_tensors(shard, {name: weights[name].to(torch.bfloat16) for name in part})
    (tmp_path / "hf/chat_template.jinja").write_text("{{ other }}")
    return tmp_path / "hf"


def test_a_directory_becomes_one_float32_file(directory, tmp_path):
    parent.from_directory(directory, tmp_path / "parent")
    found = files.load_tensors(tmp_path / "parent/model.safetensors")
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert found.keys() == small_data.llama().keys(), "the tied head is not stored"
    for name, value in small_data.llama().items():
        assert torch.equal(found[name], torch.tensor(value).to(torch.bfloat16).float())
    assert files.read_json(tmp_path / "parent/tokenizer_config.json")["chat_template"] == "{{ other }}"
    assert {path.name for path in (tmp_path / "parent").iterdir()} == FILES


def test_directories_that_cannot_be_read_are_named(directory, tmp_path):
    config = files.read_json(directory / "config.json")
    files.write_json(directory / "config.json", config | {"quantization_config": {"quant_method": "gptq"}})
    with pytest.raises(ValueError, match=r"config\.json: quantization_config is 'gptq'"):
        parent.from_directory(directory, tmp_path / "parent")
    files.write_json(directory / "config.json", config)
    (directory / "tokenizer.json").rename(directory / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        parent.from_directory(directory, tmp_path / "parent")
    for shard in directory.glob("*.safetensors"):
        shard.unlink()
    with pytest.raises(FileNotFoundError, match="never from pickles"):
        parent.from_directory(directory, tmp_path / "parent")
    (directory / "config.json").write_text(json.dumps(config)[:50])
    with pytest.raises(ValueError, match=r"config\.json: truncated"):
        parent.from_directory(directory, tmp_path / "parent")
    assert not (tmp_path / "parent").exists()
    with pytest.raises(FileNotFoundError, match="no such directory"):
        parent.files_of(tmp_path / "nowhere")


def test_the_same_bytes_twice(gguf, tmp_path):
    for name in ("a", "b"):
        parent.from_gguf(gguf, tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.slow
def test_against_transformers(gguf, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parent.from_gguf(gguf, tmp_path / "parent")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "parent")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=gguf.name, dtype=torch.float32)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "parent").eos_token == "<|im_end|>"
