"""Scores that are kept are those that would be computed, and only what is not kept is computed."""

import copy
import shutil

import numpy as np
import pytest
import torch

from tessera.puzzle.models import loading
from tessera.puzzle.models import variants as building
from tessera.puzzle.models.space import FFN, Attention
from tessera.puzzle.scores import cache, replace_one
from tessera.puzzle.scores.cache import ScoreCache

TOKENS = torch.randint(2, 64, (4, 13), generator=torch.Generator().manual_seed(1))
DOCUMENTS = np.array([0, 0, 1, 2])


@pytest.fixture
def model(parent):
    return loading.load(parent()).requires_grad_(False)


@pytest.fixture
def variants(model):
    """Two variants of each subblock of two layers, a no-op among them."""
    torch.manual_seed(0)
    made = {}
    for layer in (0, 2):
        attention = random_module(model, layer, Attention(kind="gqa", kv_heads=1))
        ffn = random_module(model, layer, FFN(kind="gated", width=1 / 6))
        made[layer] = {"attention": {"kv1": attention, "no_op": None}, "ffn": {"small": ffn}}
    return made


def random_module(model, layer, variant):
    """A variant of a layer with random weights."""
    where, place = model.layers[layer], "ffn" if isinstance(variant, FFN) else "attention"
    module = building.build(where, model.config, building.part(where, model.config, variant), place)
    module.load_state_dict({k: torch.randn(v.shape) for k, v in module.state_dict().items()}, assign=True)
    return module.requires_grad_(False)


class Computing:
    """Scores, and what was asked for."""

    def __init__(self, model):
        self.model, self.asked = model, []

    def __call__(self, some):
        self.asked += [(la, sub, name) for la, subs in some.items() for sub, ms in subs.items() for name in ms]
        return replace_one.score(self.model, some, TOKENS, DOCUMENTS)


def cached(directory, model, tokens=TOKENS, documents=DOCUMENTS, mask=None):
    return ScoreCache(directory, model, cache.text(tokens, documents, mask), replace_one.__name__)


def test_only_what_is_new_is_computed_and_nothing_differs(model, variants, tmp_path):
    first, second, third = (Computing(model) for _ in range(3))
    expected = replace_one.score(model, variants, TOKENS, DOCUMENTS)
    assert cached(tmp_path, model).score(variants, first) == expected
    assert len(first.asked) == 6
    assert cached(tmp_path, model).score(variants, second) == expected
    assert second.asked == []
    more = copy.deepcopy(variants)
    more[2]["ffn"]["linear"] = random_module(model, 2, FFN(kind="linear"))
    found = cached(tmp_path, model).score(more, third)
    assert third.asked == [(2, "ffn", "linear")]
    assert found == replace_one.score(model, more, TOKENS, DOCUMENTS)


def test_whatever_decides_a_score_has_a_file_of_its_own(model, parent, variants, tmp_path):
    attention, ffn = variants[0]["attention"]["kv1"], variants[0]["ffn"]["small"]
    other = loading.load(parent()).requires_grad_(False)
    other.network.model.norm.weight.data[0] += 1e-6
    changed = copy.deepcopy(ffn)
    next(iter(changed.parameters())).data.view(-1)[0] += 1e-6
    here = cached(tmp_path, model)
    paths = [
        here.path(0, "attention", attention),
        here.path(0, "attention", None),
        here.path(0, "attention", "parent"),
        here.path(0, "ffn", None),
        here.path(1, "attention", attention),
        here.path(0, "ffn", ffn),
        here.path(0, "ffn", changed),
        cached(tmp_path, other).path(0, "ffn", ffn),
        cached(tmp_path, model, TOKENS.flip(0)).path(0, "ffn", ffn),
        cached(tmp_path, model, TOKENS.reshape(2, 26)).path(0, "ffn", ffn),
        cached(tmp_path, model, documents=np.array([0, 1, 1, 2])).path(0, "ffn", ffn),
        *(cached(tmp_path, model, mask=TOKENS[:, 1:] > least).path(0, "ffn", ffn) for least in (10, 20)),
    ]
    assert len(set(paths)) == len(paths)
    assert cached(tmp_path, loading.load(parent())).path(0, "ffn", copy.deepcopy(ffn)) == here.path(0, "ffn", ffn)


def test_other_code_scores_anew(model, variants, tmp_path, monkeypatch):
    cached(tmp_path, model).score(variants, Computing(model))
    package = tmp_path / "src"
    shutil.copytree(cache.ROOT / "tessera", package / "tessera", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "ROOT", package)
    same, other = Computing(model), Computing(model)
    cached(tmp_path, model).score(variants, same)
    assert same.asked == []
    with (package / "tessera/puzzle/scores/divergence.py").open("a") as file:
        file.write("CHUNK = 2**22\n")
    cached(tmp_path, model).score(variants, other)
    assert len(other.asked) == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("kl_div", "kl_dIv"),
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text.replace('lm_loss": ', 'lm_loss": 1', 1),
    ],
)
def test_a_damaged_file_is_named_and_made_again(model, variants, tmp_path, capsys, damage):
    expected = cached(tmp_path, model).score(variants, Computing(model))
    path = cached(tmp_path, model).path(2, "ffn", variants[2]["ffn"]["small"])
    right = path.read_text()
    path.write_text(damage(right))
    again = Computing(model)
    assert cached(tmp_path, model).score(variants, again) == expected
    assert again.asked == [(2, "ffn", "small")]
    assert f"{path}: damaged, so computed again" in capsys.readouterr().err
    assert path.read_text() == right
