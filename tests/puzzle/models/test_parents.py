"""What a directory would be as a parent."""

import json

import pytest
from tiny_models import PARENTS, SHAPE
from typer.testing import CliRunner

from tessera.puzzle.model_cli import app
from tessera.puzzle.models import loading, parents
from tessera.puzzle.models.architecture import SUPPORTED


@pytest.mark.parametrize("name", PARENTS)
def test_parameters_are_those_of_the_model(parent, name):
    model = loading.load(parent(name))
    found = parents.summary(parents.read(parent(name)))
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["layers"] == 3 and found["KV heads of variants"] == [
        n for n in (1, 2) if n < parents.read(parent(name)).num_kv_heads
    ]


def directory(tmp_path, **config):
    (tmp_path / "config.json").write_text(json.dumps(SHAPE | config))
    return tmp_path


def test_gemma_3_is_refused_with_what_is_missing(tmp_path):
    with pytest.raises(
        ValueError, match=r"'gemma3_text' is not supported\. Missing: RMS norms that multiply by 1"
    ) as error:
        parents.read(directory(tmp_path, model_type="gemma3_text", hidden_activation="gelu_pytorch_tanh"))
    for words in ("sliding window", "GELU", "embeddings multiplied", ", ".join(SUPPORTED)):
        assert words in str(error.value)


@pytest.mark.parametrize("kind", parents.MISSING)
def test_every_family_that_is_explained_is_refused(tmp_path, kind):
    assert kind not in SUPPORTED
    with pytest.raises(ValueError, match="Missing: "):
        parents.read(directory(tmp_path, model_type=kind))


def test_others_are_refused_as_ever(tmp_path):
    with pytest.raises(ValueError, match="model_type is 'bloom'; supported are llama"):
        parents.read(directory(tmp_path, model_type="bloom"))
    with pytest.raises(FileNotFoundError):
        parents.read(tmp_path / "none")


def test_command(parent, tmp_path):
    shown = CliRunner().invoke(app, ["parent", str(parent("qwen3"))])
    assert shown.exit_code == 0 and "model type: qwen3" in shown.output and "KV heads of variants: [1]" in shown.output
    refused = CliRunner().invoke(app, ["parent", str(directory(tmp_path, model_type="gemma3"))])
    assert refused.exit_code == 1 and "images" in refused.output
