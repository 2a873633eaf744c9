"""Loading of models, and the specifications that a choice of variants means."""

import json
import shutil

import pytest
import torch

from tessera.common import files
from tessera.puzzle.models import architecture, loading
from tessera.puzzle.models.model import AttentionSpec, FFNSpec
from tessera.puzzle.models.specs import block_config, layers_of


@pytest.fixture
def copy(parent, tmp_path):
    """A parent's directory that may be spoilt."""
    return shutil.copytree(parent("llama_ungrouped"), tmp_path / "copy")


def test_sharded_half_precision_and_buffers_of_old_load_as_float32(copy):
    whole = loading.load(copy).state_dict()
    state = {name: value.half() for name, value in files.load_tensors(copy / "model.safetensors").items()}
    (copy / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, members in parts.items():
        files.save_tensors(copy / part, {n: state[n] for n in members})
    old = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    files.save_tensors(copy / "a.safetensors", {n: state[n] for n in names[::2]} | old)
    index = {"weight_map": {n: part for part, members in parts.items() for n in members}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    loaded = loading.load(copy).state_dict()
    assert set(loaded) == set(whole)
    assert all(torch.equal(value, whole[name].half().float()) for name, value in loaded.items())


def test_a_layer_alone_is_the_model_s(copy):
    whole, alone = loading.load(copy).model.layers[2].state_dict(), blocks.load_layer(copy, 2).state_dict()
    assert whole.keys() == alone.keys() and all(torch.equal(value, whole[name]) for name, value in alone.items())


def test_of_a_sharded_parent_only_the_files_of_a_layer_are_read(copy):
    state = files.load_tensors(copy / "model.safetensors")
    whole = loading.load(copy).model.layers[1].state_dict()
    (copy / "model.safetensors").unlink()
    place = {name: "own.safetensors" if name.startswith("model.layers.1.") else "gone.safetensors" for name in state}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
    own = {name: tensor for name, tensor in state.items() if place[name] == "own.safetensors"}
    files.save_tensors(copy / "own.safetensors", own)
    assert all(torch.equal(value, whole[name]) for name, value in blocks.load_layer(copy, 1).state_dict().items())
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors: no such file"):
        blocks.load_layer(copy, 0)


def test_a_layer_of_another_shape_is_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 40}))
    with pytest.raises(ValueError, match=r"(?s)do not fit .*config\.json.*mlp\.down_proj\.weight"):
        blocks.load_layer(copy, 0)


def test_missing_and_damaged_weights_are_named(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"model\.safetensors: damaged"):
        loading.load(copy)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such file"):
        loading.load(copy)


def test_weights_of_another_shape_are_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 40}))
    with pytest.raises(ValueError, match=r"(?s)do not fit .*config\.json.*down_proj\.weight"):
        loading.load(copy)


def test_choice_becomes_layers(parent, variants):
    a = architecture.read(parent())
    found = blocks.child_layers(a, variants, ["parent+parent", "kv1+ffn25", "no_op+linear"])
    assert found == [
        (AttentionSpec("gqa", 2), FFNSpec("gated", 48)),
        (AttentionSpec("gqa", 1), FFNSpec("gated", 12)),
        (AttentionSpec("no_op"), FFNSpec("linear")),
    ]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (["parent+parent"], "the choice has 1 layers; the parent has 3"),
        (
            ["parent+parent", "kv3+parent", "parent+parent"],
            "layer 1: attention variant 'kv3' is not one of parent, kv1",
        ),
        (["parent+parent"] * 2 + ["parent+half"], "layer 2: FFN variant 'half' is not one of parent, ffn50"),
        (["parent"] * 3, "'parent': expected ATTENTION\\+FFN"),
    ],
)
def test_choice_outside_the_space_is_refused(parent, variants, choice, message):
    with pytest.raises(ValueError, match=message):
        blocks.child_layers(architecture.read(parent()), variants, choice)


def test_block_configs_are_read_back(parent, variants):
    a = architecture.read(parent())
    layers = blocks.child_layers(a, variants, ["parent+ffn50", "kv1+no_op", "linear+linear"])
    configs = [block_config(at, ffn, a.num_heads // (at.num_kv_heads or 1)) for at, ffn in layers]
    assert layers_of(a, {"block_configs": configs}) == layers
    assert layers_of(a, {}) is None


@pytest.mark.parametrize(
    ("subblock", "key", "value", "message"),
    [
        ("attention", "n_heads_in_group", None, r"block_configs\[1\]\.attention\.n_heads_in_group is None"),
        ("attention", "n_heads_in_group", 3, r"n_heads_in_group is 3, no divisor of 4"),
        ("ffn", "intermediate_size", 49, r"block_configs\[1\]\.ffn\.intermediate_size is 49; valid is .* 1 to 48"),
        ("ffn", "intermediate_size", None, r"block_configs\[1\]\.ffn\.intermediate_size is None"),
    ],
)
def test_bad_block_configs_are_named(copy, subblock, key, value, message):
    a = architecture.read(copy)
    configs = [block_config(AttentionSpec("gqa", 4), FFNSpec("gated", 48), 1) for _ in range(3)]
    configs[1][subblock][key] = value
    with pytest.raises(ValueError, match=message):
        layers_of(a, {"block_configs": configs})
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"block_configs": configs}))
    with pytest.raises(ValueError, match=rf"config\.json: .*{message}"):
        loading.load(copy)


def test_block_configs_of_another_depth_are_refused(parent):
    with pytest.raises(ValueError, match="block_configs has 1 layers; num_hidden_layers is 3"):
        layers_of(architecture.read(parent()), {"block_configs": [{}]})
