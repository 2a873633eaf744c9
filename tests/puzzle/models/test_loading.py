"""Directories that are read as transformers reads them, and those that are refused in one line."""

import json
import shutil

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from tessera.puzzle.models import loading
from tessera.puzzle.models.streaming import Streamed

TOKENS = torch.randint(3, 97, (2, 12), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    tiny_models.network("llama", tie_word_embeddings=True).save_pretrained(directory)
    return directory


@pytest.fixture
def directory(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def configure(directory, name="config.json", without=(), **changes):
    config = json.loads((directory / name).read_text()) | changes
    (directory / name).write_text(json.dumps({k: v for k, v in config.items() if k not in without}))


def rewrite(directory, change):
    weights = load_file(directory / "model.safetensors")
    change(weights)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def shard(directory):
    """Two shards and their index instead of one file."""
    weights = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    names, places = sorted(weights), {}
    for i, part in enumerate((names[:20], names[20:]), 1):
        place = f"model-0000{i}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, directory / place, metadata={"format": "pt"})
        places |= dict.fromkeys(part, place)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def logits(directory):
    """What transformers itself makes of it."""
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.no_grad():
        return network(TOKENS).logits


def refused(directory, *words):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        loading.load(directory)
    message = str(error.value)
    assert str(directory) in message and "\n" not in message and len(message) < 900
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "qwen3_moe", "phi3"])
def test_logits_are_transformers_own(family, tmp_path):
    tiny_models.network(family).save_pretrained(tmp_path)
    model = loading.load(tmp_path)
    assert torch.equal(model(TOKENS), logits(tmp_path))
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "qwen3_moe", "phi3"])
def test_layers_are_read_alone(family, tmp_path):
    tiny_models.network(family).save_pretrained(tmp_path)
    whole, alone = loading.load(tmp_path), Streamed(tmp_path)
    x, calls = whole.inputs(TOKENS)
    for index in (1, 3):
        assert torch.equal(alone.layer(index)(x, alone.calls(12)), whole.layer(index)(x, calls))
    for index in (0, 1, 2):
        assert all(p.is_meta for p in alone.module(index).parameters()), "only one layer is in memory"


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization_config": None},
        {"dtype": None, "torch_dtype": "bfloat16", "transformers_version": "4.38.0"},
        {"pad_token_id": -1},
        {"eos_token_id": [2, 3]},
        {"rope_parameters": None, "rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"auto_map": {"AutoModelForCausalLM": "modeling_other.Other"}},
    ],
    ids=lambda changes: next(key for key in reversed(changes)),
)
def test_what_published_configurations_have(directory, changes):
    (directory / "modeling_other.py").write_text("raise SystemExit('code of the directory is run')")
    configure(directory, without=[key for key, value in changes.items() if value is None], **changes)
    if "quantization_config" in changes:
        expected = logits(directory)
        configure(directory, **changes)
    else:
        expected = logits(directory)
    assert torch.equal(loading.load(directory)(TOKENS), expected)


def test_generation_settings_that_contradict_each_other_do_not_matter(directory):
    settings = {"do_sample": False, "temperature": 0.6, "top_p": 0.9, "bos_token_id": 1, "eos_token_id": 2}
    (directory / "generation_config.json").write_text(json.dumps(settings))
    loading.load(directory)


@pytest.mark.parametrize(("family", "key"), [("qwen3", "head_dim"), ("mistral", "num_key_value_heads")])
def test_defaults_that_are_left_out(tmp_path, family, key):
    network = tiny_models.network(
        family, num_attention_heads=16, num_key_value_heads=8, head_dim=128 if family == "qwen3" else 4
    )
    network.save_pretrained(tmp_path)
    configure(tmp_path, without=[key])
    assert torch.equal(loading.load(tmp_path)(TOKENS), logits(tmp_path))


def test_sliding_windows_of_qwen2(tmp_path):
    tiny_models.network("qwen2", use_sliding_window=True, max_window_layers=2, sliding_window=4).save_pretrained(
        tmp_path
    )
    model = loading.load(tmp_path)
    assert torch.equal(model(TOKENS), logits(tmp_path))
    states = model.last(TOKENS)
    assert torch.equal(model.head(states), model(TOKENS))


def test_a_head_that_is_not_the_embedding(directory):
    rewrite(directory, lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"] + 0.1}))
    refused(directory, "tie_word_embeddings=False")
    refused(directory, "tie_word_embeddings=False")  # though transformers warns of a thing once
    configure(directory, tie_word_embeddings=False)
    assert torch.equal(loading.load(directory)(TOKENS), logits(directory))


def test_a_head_that_is_a_copy_of_the_embedding(directory):
    expected = logits(directory)
    rewrite(directory, lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()}))
    assert torch.equal(loading.load(directory)(TOKENS), expected)


def test_shards(directory):
    expected = logits(directory)
    shard(directory)
    save_file({"other": torch.ones(2)}, directory / "consolidated.safetensors")
    assert torch.equal(loading.load(directory)(TOKENS), expected)
    alone = Streamed(directory)
    assert torch.equal(
        alone.layer(2).subblock("ffn").down_proj.weight,
        loading.load(directory).layer(2).subblock("ffn").down_proj.weight,
    )
    (directory / "model-00002-of-00002.safetensors").unlink()
    refused(directory, "model-00002-of-00002.safetensors: no such file", "model.safetensors.index.json")
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002\.safetensors: no such file"):
        Streamed(directory).layer(0)
    configure(directory, "model.safetensors.index.json", without=["weight_map"])
    refused(directory, "model.safetensors.index.json: weight_map is missing")
    (directory / "model.safetensors.index.json").unlink()
    refused(directory, "no model.safetensors")


def test_pickles_alone(directory):
    weights = load_file(directory / "model.safetensors")
    torch.save(weights, directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()
    refused(directory, "never from pickles")


@pytest.mark.parametrize("keep", [0, 5, 3000, -100])
def test_damaged_weights(directory, keep):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(directory, "model.safetensors: damaged or not a safetensors file")
    with pytest.raises(ValueError, match="damaged"):
        Streamed(directory).layer(0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("model.layers.1.mlp.up_proj.weight"), "has no weights for model.layers.1.mlp.up_proj.weight"),
        (lambda w: w.update(extra=torch.ones(3)), "has weights that the model does not use: extra"),
        (
            lambda w: w.update({"model.norm.weight": torch.ones(3)}),
            "another shape than config.json says: model.norm.weight",
        ),
    ],
    ids=["missing", "unexpected", "mismatched"],
)
def test_weights_that_do_not_fit(directory, change, words):
    rewrite(directory, change)
    refused(directory, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "config.json: quantization_config is 'gptq'"),
        ({"eos_token_id": []}, "config.json: eos_token_id is []"),
        ({"eos_token_id": 97}, "config.json: eos_token_id is 97; expected token ids below vocab_size = 97"),
        ({"eos_token_id": [2, 150]}, "config.json: eos_token_id is [2, 150]"),
        ({"model_type": "unheard"}, "config.json: model_type is 'unheard', which transformers does not have"),
        ({"model_type": "t5"}, "config.json: model_type is 't5'"),
        ({"num_hidden_layers": "four"}, "config.json: transformers cannot read it"),
        ({"hidden_size": 63}, "config.json"),
        ({"hidden_act": "swoosh"}, "transformers cannot read it"),
        (
            {"puzzle_blocks": [{"attention": {"kind": "other"}, "ffn": {}}] * 4},
            "puzzle_blocks: layer 0 has a part of kind 'other'",
        ),
        ({"puzzle_blocks": []}, "puzzle_blocks must be a list of 4 layers"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_configurations_that_are_refused(directory, changes, words):
    configure(directory, **changes)
    refused(directory, words)


def test_unknown_code_is_named_and_not_run(directory):
    (directory / "modeling_other.py").write_text("raise SystemExit('code of the directory is run')")
    (directory / "configuration_other.py").write_text("raise SystemExit('code of the directory is run')")
    auto = {"AutoConfig": "configuration_other.Other", "AutoModelForCausalLM": "modeling_other.Other"}
    configure(directory, model_type="other", auto_map=auto)
    refused(directory, "model_type is 'other'", "its code in the directory is not run")


def test_the_ids_of_generation_settings(directory):
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 4000]}))
    refused(directory, "generation_config.json: eos_token_id is [1, 4000]")


def test_adapters_and_damaged_configurations(directory):
    (directory / "adapter_config.json").write_text("{}")
    refused(directory, "adapter_config.json: an adapter")
    (directory / "adapter_config.json").unlink()
    (directory / "config.json").write_text((directory / "config.json").read_text()[:40])
    refused(directory, "config.json: truncated or not a .json file")
    (directory / "config.json").unlink()
    refused(directory, "config.json: no such file")


@pytest.mark.parametrize(
    "family",
    [pytest.param(f, marks=() if f == "apertus" else pytest.mark.slow) for f in tiny_models.ADMITTED],
)
def test_families_are_read_without_a_warning_that_stops_them(family, tmp_path):
    """As long a context as their defaults for positions are made for; Apertus warns of a kernel that is not there."""
    network = tiny_models.network(family, max_position_embeddings=262_144)
    network.save_pretrained(tmp_path)
    read = loading.load(tmp_path)
    network.set_attn_implementation(read.config._attn_implementation)
    assert torch.equal(read(TOKENS), network(TOKENS).logits)
