"""What comes with a parent's weights: tokenizers and settings of GGUF files and Hugging Face directories."""

import json

import numpy as np
import pytest
import small_data
import torch
from tokenizers import Tokenizer

from tessera.common import files
from tessera.data import parent
from tessera.data.gguf_parent import Gguf, shortest


@pytest.fixture
def gguf(tmp_path):
    small_data.write_gguf(tmp_path / "small.gguf", small_data.llama())
    return tmp_path / "small.gguf"


@pytest.fixture
def texts(gguf):
    file = Gguf(gguf)
    return parent.Texts(file.tokenizer(), file.tokenizer_config(), {"bos_token_id": 1, "eos_token_id": 2})


@pytest.fixture
def directory(texts, tmp_path):
    (tmp_path / "hf").mkdir()
    texts.write(tmp_path / "hf")
    files.write_json(tmp_path / "hf/config.json", {"model_type": "llama", "eos_token_id": 2, "pad_token_id": None})
    return tmp_path / "hf"


def test_digits_stand_alone_if_the_file_says_so(gguf, tmp_path):
    split = Gguf(gguf).tokenizer().pre_tokenizer.pre_tokenize_str("in  1984")
    assert [piece for piece, _ in split] == ["in", "ĠĠ", "1", "9", "8", "4"]
    small_data.write_gguf(tmp_path / "gpt2.gguf", small_data.llama(), pre="gpt-2")
    split = Gguf(tmp_path / "gpt2.gguf").tokenizer().pre_tokenizer.pre_tokenize_str("in  1984")
    assert [piece for piece, _ in split] == ["in", "Ġ", "Ġ1984"]


def test_what_transformers_reads_itself_is_left_to_it(tmp_path):
    assert not made(tmp_path, pre="qwen2").names_cut
    with pytest.raises(ValueError, match=r"a\.gguf: tokenizer\.ggml\.pre is 'tekken'.*smollm, starcoder, qwen2"):
        made(tmp_path, pre="tekken")


def test_scaled_positions_are_refused(tmp_path):
    weights = small_data.llama()
    with pytest.raises(ValueError, match=r"a\.gguf: llama\.rope\.scaling\.type is 'none' or there are rope_freqs"):
        made(tmp_path, weights=weights | {"rope_freqs.weight": np.ones(2, np.float32)})


def made(tmp_path, weights=None, **changes):
    small_data.write_gguf(tmp_path / "a.gguf", weights or small_data.llama(), **changes)
    return Gguf(tmp_path / "a.gguf")


@pytest.mark.parametrize("keep", [0, 3, 200, -100])
def test_truncated_files_are_named(gguf, keep):
    gguf.write_bytes(gguf.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"small\.gguf: truncated or not a GGUF file"):
        Gguf(gguf)


def test_shortest_decimals():
    assert shortest(9.999999747378752e-06) == 1e-05
    assert shortest(float(np.float32(0.1))) == 0.1
    assert shortest(10000.0) == 10000.0


def test_the_five_files_are_plain_and_their_bytes_the_same(texts, tmp_path):
    config = {"hidden_size": 4, "quantization_config": {}, "transformers_version": "5", "auto_map": {}, "dtype": "x"}
    for name in ("a", "b"):
        parent.write(tmp_path / name, {"w": torch.ones(2), "a": torch.zeros(1)}, config, texts)
    assert files.read_json(tmp_path / "a/config.json") == {"dtype": "float32", "hidden_size": 4}
    assert files.read_json(tmp_path / "a/generation_config.json") == {"bos_token_id": 1, "eos_token_id": 2}
    tokenizer = files.read_json(tmp_path / "a/tokenizer_config.json")
    assert (tokenizer["eos_token"], tokenizer["chat_template"]) == ("<|im_end|>", small_data.CHAT)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    expected = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names == expected | {"generation_config.json"}
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_the_tokenizer_of_a_directory_is_transformers_own(directory):
    from transformers import AutoTokenizer

    (directory / "chat_template.jinja").write_text("{{ other }}")
    (directory / "generation_config.json").unlink()
    read = parent.texts_of(directory)
    assert read.generation_config == {"eos_token_id": 2}
    assert read.tokenizer_config["chat_template"] == "{{ other }}"
    assert not {"is_local", "name_or_path"} & read.tokenizer_config.keys()
    own = AutoTokenizer.from_pretrained(directory)
    for text in ("hello, hello 1984", "<|im_end|> naïve"):
        assert read.tokenizer.encode(text).ids == own(text)["input_ids"]


def test_a_tokenizer_with_more_tokens_than_rows(texts, tmp_path):
    rows = len(small_data.VOCABULARY)
    texts.check(tmp_path, rows)
    with pytest.raises(ValueError, match=rf"the tokenizer's 'hello' is token {rows - 1}; .* vocab_size = {rows - 1}"):
        texts.check(tmp_path, rows - 1)
    texts.tokenizer.add_special_tokens(["<|added|>"])
    with pytest.raises(ValueError, match=r"<\|added\|>"):
        texts.check(tmp_path, rows)


def test_directories_without_a_tokenizer_are_named(directory, tmp_path):
    (directory / "tokenizer.json").write_text(json.dumps({"model": "none"}))
    with pytest.raises(ValueError, match=r"hf: transformers cannot read the tokenizer"):
        parent.texts_of(directory)
    (directory / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json: no such file; a parent needs a tokenizer"):
        parent.texts_of(directory)
    with pytest.raises(FileNotFoundError, match="no such directory"):
        parent.files_of(tmp_path / "nowhere")
    assert str(directory / "config.json") in parent.files_of(directory)


def test_written_tokenizers_are_read_again(directory, texts):
    again = Tokenizer.from_file(str(directory / "tokenizer.json"))
    assert again.encode("hello 12").ids == texts.tokenizer.encode("hello 12").ids
