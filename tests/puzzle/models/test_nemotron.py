"""Layers in the published Nemotron-NAS form."""

from types import SimpleNamespace

from tessera.puzzle.models import nemotron

CONFIG = SimpleNamespace(
    model_type="llama", num_attention_heads=4, num_key_value_heads=2, intermediate_size=48, hidden_size=32
)


def test_form_of_every_kind():
    blocks = [
        {"attention": {}, "ffn": {"kind": "own", "config": {"intermediate_size": 24}}},
        {"attention": {"kind": "own", "config": {"num_key_value_heads": 1}}, "ffn": {"kind": "linear", "returns": 0}},
        {"attention": {"kind": "no_op", "returns": 2, "drops": ["input_layernorm"]}, "ffn": {}},
    ]
    attention = {"no_op": False, "replace_with_linear": False}
    assert nemotron.block_configs(blocks, CONFIG) == [
        {
            "attention": attention | {"n_heads_in_group": 2},
            "ffn": attention | {"intermediate_size": 24},
        },
        {
            "attention": attention | {"n_heads_in_group": 4},
            "ffn": {"intermediate_size": None, "no_op": False, "replace_with_linear": True},
        },
        {
            "attention": {"n_heads_in_group": None, "no_op": True, "replace_with_linear": False},
            "ffn": attention | {"intermediate_size": 48},
        },
    ]


def test_no_form_for_windows_dropped_heads_and_other_families():
    window = [{"attention": {"kind": "own", "window": 8}, "ffn": {}}]
    dropped = [
        {"attention": {"kind": "own", "config": {"num_attention_heads": 2, "num_key_value_heads": 1}}, "ffn": {}}
    ]
    assert nemotron.block_configs(window, CONFIG) is None
    assert nemotron.block_configs(dropped, CONFIG) is None
    gemma = SimpleNamespace(**vars(CONFIG) | {"model_type": "gemma2"})
    assert nemotron.block_configs([{"attention": {}, "ffn": {}}], gemma) is None
