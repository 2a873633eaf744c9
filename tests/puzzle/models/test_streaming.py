"""Layers read one by one give the numbers of a model that is read whole."""

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from tessera.puzzle.heal import teacher
from tessera.puzzle.models import loading
from tessera.puzzle.models.streaming import ENDS, Streamed
from tessera.puzzle.scores.replace_one import hidden_states

TOKENS = torch.randint(3, 97, (2, 12), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=["llama", "gemma3_text", "qwen3_moe", "mixtral", "phi3"])
def directory(request, tmp_path_factory):
    made = tmp_path_factory.mktemp(request.param)
    tied = {"tie_word_embeddings": True} if request.param == "llama" else {}
    tiny_models.network(request.param, **tied).save_pretrained(made)
    return made


@torch.no_grad()
@pytest.mark.parametrize("resident", [0, 2, 4])
def test_numbers_are_those_of_the_whole_model(directory, resident):
    whole, streamed = loading.load(directory), Streamed(directory, resident=resident)
    for _ in range(2):
        states, middle, _ = hidden_states(streamed, TOKENS)
        expected, halves, _ = hidden_states(whole, TOKENS)
        assert all(torch.equal(a, b) for a, b in zip(states + middle, expected + halves, strict=True))
        assert torch.equal(streamed.head(states[-1]), whole(TOKENS))
    assert streamed.loads == 4 + (4 - resident)
    held = [i for i in range(4) if not any(p.is_meta for p in streamed.module(i).parameters())]
    assert held == sorted({*range(resident), 3})


def test_weights_and_their_digest_are_those_of_the_whole_model(directory):
    whole, streamed = loading.load(directory), Streamed(directory)
    assert teacher.digest(streamed.weights()) == teacher.digest(whole.weights())
    assert streamed.loads == 4
    assert streamed.weights().keys() == whole.weights().keys()


def test_what_is_missing_or_of_another_shape_is_named(tmp_path):
    tiny_models.network("llama").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.layers.2.mlp.up_proj.weight"] = torch.ones(3)
    del weights["model.layers.1.mlp.up_proj.weight"], weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model = Streamed(tmp_path)
    model.layer(0)
    with pytest.raises(ValueError, match=r"no weights for model\.layers\.1\.mlp\.up_proj\.weight"):
        model.layer(1)
    with pytest.raises(ValueError, match=r"another shape than config\.json says: model\.layers\.2\.mlp\.up_proj"):
        model.layer(2)
    with pytest.raises(ValueError, match=r"no weights for model\.norm\.weight"):
        model.inputs(TOKENS)
    assert model.part_of("model.norm.weight") == ENDS
