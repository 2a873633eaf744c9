"""The shape of a parent, read from its config.json."""

import json

import pytest

from tessera.puzzle.models import architecture

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


def test_defaults_are_those_of_transformers():
    a = architecture.from_config(CONFIG)
    assert (a.num_kv_heads, a.head_dim, a.group_size, a.norm_eps, a.tied_embeddings) == (4, 16, 1, 1e-6, False)
    assert a.rope_parameters == {"rope_type": "default", "rope_theta": 10000.0}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("llama", (True, True, True, False)),
        ("mistral", (False, False, False, False)),
        ("qwen2", (True, False, False, False)),
        ("qwen3", (True, True, False, True)),
    ],
)
def test_biases_and_norms_by_model_type(kind, expected):
    a = architecture.from_config(CONFIG | {"model_type": kind, "attention_bias": True, "mlp_bias": True})
    assert (a.attention_bias, a.output_bias, a.mlp_bias, a.qk_norm) == expected


@pytest.mark.parametrize("key", ["rope_type", "type"])
def test_scaled_rotary_embeddings_of_older_configurations(key):
    a = architecture.from_config(CONFIG | {"rope_theta": 500.0, "rope_scaling": {key: "linear", "factor": 2.0}})
    assert a.rope_parameters == {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, r"model_type is 'gpt2'; supported are llama"),
        ({"hidden_act": "gelu"}, r"hidden_act is 'gelu'"),
        ({"use_sliding_window": True}, r"sliding-window"),
        ({"model_type": "mistral", "sliding_window": 4096}, r"sliding-window"),
        ({"num_key_value_heads": 3}, r"num_attention_heads = 4 is not a multiple of num_key_value_heads = 3"),
        (
            {"rope_scaling": {"type": "yarn", "factor": 2}},
            r"rope_type is 'yarn'; supported are default, linear, llama3",
        ),
        ({"rope_scaling": {"type": "linear"}}, r"rope_type is 'linear' without factor"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, r"without low_freq_factor, high_freq_factor"),
        ({"partial_rotary_factor": 0.5}, r"partial_rotary_factor"),
    ],
)
def test_what_is_not_supported_is_refused(change, message):
    with pytest.raises(ValueError, match=rf"^here/config.json: .*{message}"):
        architecture.from_config(CONFIG | change, "here/config.json")


@pytest.mark.parametrize("key", architecture.REQUIRED)
def test_missing_key_is_named(key):
    with pytest.raises(ValueError, match=f"missing {key}"):
        architecture.from_config({k: v for k, v in CONFIG.items() if k != key})


def test_child_has_its_parents_architecture(tmp_path):
    child = CONFIG | {"model_type": architecture.CHILD, "parent_model_type": "qwen3"}
    (tmp_path / "config.json").write_text(json.dumps(child))
    assert architecture.read(tmp_path) == architecture.from_config(CONFIG | {"model_type": "qwen3"})


def test_missing_directory_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/config\.json: no such file"):
        architecture.read(tmp_path / "nowhere")
