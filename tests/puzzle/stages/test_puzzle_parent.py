"""The stage that makes the parent, from a package, its pieces, and a directory."""

import numpy as np
import pytest
import small_data
import tiny_models
import torch

from tessera.common import files
from tessera.data import parent as parents
from tessera.data.gguf_parent import Gguf
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.stages import parent as stage
from tessera.puzzle.stages import space

FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"}


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    small_data.write_gguf(path, small_data.llama())
    return path


@pytest.fixture(scope="module")
def parent(gguf, tmp_path_factory):
    """A parent made from a package that is in two pieces."""
    directory, content = tmp_path_factory.mktemp("parent"), gguf.read_bytes()
    wheels = [directory / f"small_part{i}-1.0-py3-none-any.whl" for i in range(2)]
    for i, (wheel, piece) in enumerate(zip(wheels, (content[:3000], content[3000:]), strict=True)):
        small_data.wheel(wheel, {f"small{i}/a.gguf.part{i}": piece})
    stage.main(
        stage.Params(parent="package:small", member="*/a.gguf.part?"), wheels, directory / "parent",
        directory / "admission.json",
    )  # fmt: skip
    assert {path.name for path in directory.iterdir()} == {
        "parent",
        "admission.json",
        *(wheel.name for wheel in wheels),
    }
    return directory / "parent"


def directory_of(network, gguf, path):
    """A Hugging Face directory of a network, with the tokenizer of a GGUF file."""
    network.save_pretrained(path)
    file = Gguf(gguf)
    parents.Texts(file.tokenizer(), file.tokenizer_config(), {"bos_token_id": 1, "eos_token_id": 2}).write(path)
    return path


def test_unquantised_weights_come_back_bit_by_bit(parent):
    weights, expected = files.load_tensors(parent / "model.safetensors"), small_data.llama()
    assert weights.keys() == expected.keys(), "the tied head is not stored"
    assert all(np.array_equal(weights[name].numpy(), expected[name]) for name in expected)
    assert {path.name for path in parent.iterdir()} == FILES
    config = files.read_json(parent / "config.json")
    assert config["rms_norm_eps"] == 1e-5 and config["tie_word_embeddings"] is True
    assert files.read_json(parent / "generation_config.json") == {"bos_token_id": 1, "eos_token_id": 2}


def test_a_directory_gives_the_same_bytes(parent, tmp_path):
    stage.main(stage.Params(parent=f"directory:{parent}"), [], tmp_path / "again", tmp_path / "admission.json")
    for name in ("config.json", "model.safetensors", "generation_config.json"):
        assert (parent / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gemma3_text", "qwen3_moe"])
def test_transformers_reads_equal_logits(family, dtype, gguf, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = len(small_data.VOCABULARY)
    network = tiny_models.network(family, vocab_size=rows)
    source = directory_of(network, gguf, tmp_path / "source")
    stage.main(
        stage.Params(parent=f"directory:{source}", dtype=dtype), [], tmp_path / "parent", tmp_path / "admission.json"
    )
    expected = AutoModelForCausalLM.from_pretrained(source, dtype=dtype).eval()
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "parent").eval()
    tokens = torch.arange(40).view(2, 20) + 5
    with torch.no_grad():
        assert made.dtype == getattr(torch, dtype) and torch.equal(made(tokens).logits, expected(tokens).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "parent").chat_template == small_data.CHAT


def refused(params, out, words, source=()):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        stage.main(params, list(source), out / "again", out / "admission.json")
    assert not (out / "admission.json").exists()
    assert not (out / "again").exists() and not (out / ".again.scratch").exists()


def test_a_package_needs_the_member_that_holds_the_parent(tmp_path):
    words = r"parent = 'package:small': a package needs --source WHEEL and the member"
    refused(stage.Params(parent="package:small"), tmp_path, words, [tmp_path / "small-1.0-py3-none-any.whl"])


def test_nothing_is_written_of_what_cannot_be_a_parent(gguf, tmp_path):
    rows = len(small_data.VOCABULARY)
    source = directory_of(tiny_models.network("cohere", vocab_size=rows), gguf, tmp_path / "source")
    refused(stage.Params(parent=f"directory:{source}"), tmp_path, "CohereForCausalLM cannot be a parent: layer 0")
    source = directory_of(tiny_models.network("llama", vocab_size=rows - 1), gguf, tmp_path / "few")
    refused(stage.Params(parent=f"directory:{source}"), tmp_path, rf"few: the tokenizer's .* vocab_size = {rows - 1}")
    refused(stage.Params(parent="directory:/nowhere/at/all"), tmp_path, "no such directory")


def test_a_space_is_checked_by_what_the_parents_stage_found(parent, tmp_path):
    admission, checked = parent.parent / "admission.json", tmp_path / "space.json"
    attention, ffn = {"kv1": Attention(kind="gqa", kv_heads=1)}, {"ffn50": FFN(kind="gated", width=0.5)}
    space.main(Space(attention=attention, ffn=ffn), parent, admission, checked)
    assert files.read_json(checked) == {"attention": {"kv1": ["merged KV heads"]}, "ffn": {"ffn50": ["narrower FFN"]}}
    few = {"few": FFN(kind="gated", experts=0.5)}
    with pytest.raises(ValueError, match=r"^puzzle\.space\.ffn\.few: this parent has no fewer experts: layer 0"):
        space.main(Space(attention={}, ffn=few), parent, admission, tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"^puzzle\.space\.attention\.kv3: kv_heads is 3; .* expected one of \[1, 2\]"):
        space.main(
            Space(attention={"kv3": Attention(kind="gqa", kv_heads=3)}, ffn={}), parent, admission,
            tmp_path / "none.json",
        )  # fmt: skip
    assert not (tmp_path / "none.json").exists()
