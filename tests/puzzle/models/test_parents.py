"""What a directory would be as a parent."""

import json

import pytest
from tiny_models import PARENTS, SHAPE
from typer.testing import CliRunner

from tessera.puzzle.model_cli import app
from tessera.puzzle.models import architecture, loading, parents


@pytest.mark.parametrize("name", PARENTS)
def test_parameters_are_those_of_the_model(parent, name):
    model, shape = loading.load(parent(name)), architecture.read(parent(name))
    summary = parents.summary(shape)
    assert summary["parameters"] == sum(p.numel() for p in model.parameters())
    assert summary["layers"] == 3
    assert summary["KV heads of variants"] == [n for n in (1, 2) if n < shape.num_kv_heads]


def directory(tmp_path, **config):
    (tmp_path / "config.json").write_text(json.dumps(SHAPE | {"num_hidden_layers": 2} | config))
    return tmp_path


def test_layers_of_two_kinds(tmp_path):
    types = ["sliding_attention", "full_attention"]
    path = directory(tmp_path, model_type="gemma3_text", sliding_window=8, layer_types=types)
    assert parents.summary(architecture.read(path))["windows"] == "8"
    path = directory(tmp_path, model_type="qwen2_moe", num_experts=4, moe_intermediate_size=8, mlp_only_layers=[0])
    each = parents.summary(architecture.read(path))["of one attention, of one FFN"]
    assert each.split(", ", 1)[1].count(" or ") == 1  # an FFN that is a mixture, and one that is not


def test_command(parent, tmp_path):
    shown = CliRunner().invoke(app, ["parent", str(parent("qwen3"))])
    assert shown.exit_code == 0 and "model type: qwen3" in shown.output and "KV heads of variants: [1]" in shown.output
    refused = CliRunner().invoke(app, ["parent", str(directory(tmp_path, model_type="t5"))])
    assert refused.exit_code == 1 and "model_type is 't5'" in refused.output
