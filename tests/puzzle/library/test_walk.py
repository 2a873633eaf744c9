"""A walk through the layers gives the states of a model that is read whole, and keeps those of two layers."""

import torch
from small_chain import PARAMS

from tessera.puzzle.library.activations import store_before
from tessera.puzzle.library.walk import calibration, walk
from tessera.puzzle.models import loading
from tessera.puzzle.models.streaming import Streamed
from tessera.puzzle.params import CalibrationParams
from tessera.puzzle.text import joined

TEXTS = {
    name: torch.randint(1, 64, (windows, 16), generator=torch.Generator().manual_seed(windows))
    for name, windows in (("train", 11), ("valid", 3))
}


def test_states_are_bit_for_bit_those_of_the_whole_model(parent, tmp_path):
    for name in ("llama", "gemma3"):
        whole, streamed, scratch = loading.load(parent(name)), Streamed(parent(name)), tmp_path / name
        scratch.mkdir()
        expected = {
            split: store_before(range(3), whole, text, scratch / f"{split} whole") for split, text in TEXTS.items()
        }
        walked = scratch / "walked"
        walked.mkdir()
        seen = []
        for layer, states in walk(streamed, TEXTS, [1, 2], walked):
            seen.append(layer)
            for split, found in states.items():
                assert torch.equal(found[:], expected[split][layer][:])
            assert len(list(walked.rglob("*.npy"))) == 2, "states before one layer, of two texts"
            assert torch.is_grad_enabled()
            streamed.layer(layer)
        assert seen == [1, 2] and streamed.loads == 3
        assert all(p.is_meta for p in streamed.network.get_input_embeddings().parameters())


def test_most_files_at_once_are_those_before_and_behind_a_layer(parent, tmp_path, monkeypatch):
    counts, before = [], Streamed.layer

    def layer(model, index):
        counts.append(len(list(tmp_path.rglob("*.npy"))))
        return before(model, index)

    monkeypatch.setattr(Streamed, "layer", layer)
    for _ in walk(Streamed(parent()), TEXTS, [2], tmp_path):
        counts.append(len(list(tmp_path.rglob("*.npy"))))
    assert max(counts) <= 4


def test_calibration_text_of_shards_is_all_of_it(tokens):
    params = CalibrationParams.model_validate(PARAMS["calibration"])
    whole = calibration(tokens, params, 4, 3)
    shards = calibration(tokens, params.model_copy(update={"shards": 2}), 4, 3)
    assert torch.equal(joined(shards["valid"]).tokens, whole["valid"][0].tokens)
    for shard, text in enumerate(shards["train"]):
        assert torch.equal(text.tokens, whole["train"][0].tokens[shard::2])
        assert text.document.tolist() == whole["train"][0].document[shard::2].tolist()
