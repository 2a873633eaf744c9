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


def sizes(a):
    return a.num_heads, a.num_kv_heads, a.head_dim, a.group_size, a.intermediate_size, a.tied_embeddings


def test_defaults_are_those_of_transformers():
    assert sizes(architecture.from_config(CONFIG)) == (4, 4, 16, 1, 96, False)
    qwen3 = architecture.from_config(CONFIG | {"model_type": "qwen3", "num_key_value_heads": 2})
    assert qwen3.head_dim == 128  # and not 64 / 4
    mistral = architecture.from_config(CONFIG | {"model_type": "mistral", "num_attention_heads": 16})
    assert (mistral.num_kv_heads, mistral.skeleton.windows) == (8, [4096, 4096])
    gemma = architecture.from_config(CONFIG | {"model_type": "gemma", "num_key_value_heads": 4})
    assert gemma.tied_embeddings and gemma.head_dim == 256


def test_mixture_has_the_channels_of_an_expert():
    config = CONFIG | {"model_type": "qwen3_moe", "num_key_value_heads": 2, "moe_intermediate_size": 24}
    assert architecture.from_config(config).intermediate_size == 24


def test_layers_are_grouped_by_what_they_are():
    types = ["sliding_attention", "full_attention"]
    changes = {"model_type": "gemma3_text", "num_key_value_heads": 2, "sliding_window": 8, "layer_types": types}
    skeleton = architecture.from_config(CONFIG | changes).skeleton
    assert skeleton.kinds("attention") == [[0], [1]] and skeleton.kinds("ffn") == [[0, 1]]
    assert skeleton.windows == [8, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "bert2"}, r"model_type is 'bert2', of which transformers has no causal language model"),
        ({"model_type": None}, r"model_type is None"),
        ({"num_key_value_heads": 3}, r"num_attention_heads = 4 is not a multiple of num_key_value_heads = 3"),
        ({"hidden_size": "wide"}, r"transformers cannot read it"),
    ],
)
def test_what_cannot_be_read_is_refused(change, message):
    with pytest.raises(ValueError, match=rf"^here/config.json: .*{message}"):
        architecture.from_config(CONFIG | change, "here/config.json")


@pytest.mark.parametrize("key", architecture.REQUIRED)
def test_missing_key_is_named(key):
    with pytest.raises(ValueError, match=f"missing {key}"):
        architecture.from_config({k: v for k, v in CONFIG.items() if k != key})


def test_child_has_its_parents_architecture(tmp_path):
    child = CONFIG | {"puzzle_blocks": [{}, {}], "per_layer_config": {"0": {"num_key_value_heads": 2}}}
    (tmp_path / "config.json").write_text(json.dumps(child))
    assert sizes(architecture.read(tmp_path)) == sizes(architecture.from_config(CONFIG))


def test_missing_directory_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/config\.json: no such file"):
        architecture.read(tmp_path / "nowhere")
