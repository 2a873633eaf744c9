"""The parent's hidden states that are kept on disk are those that are computed, bit for bit."""

import pytest
import torch
from test_heal import CHOICE, PARAMS, TOKENS, same

from tessera.puzzle import child
from tessera.puzzle.heal import teacher, train
from tessera.puzzle.heal.parallel import Group
from tessera.puzzle.models import loading
from tessera.puzzle.params import HealParams
from tessera.puzzle.scores.replace_one import hidden_states

X = TOKENS[:, :-1]


@pytest.fixture
def own(parent):
    return loading.load(parent()).requires_grad_(False)


def cached(directory, own, teach=teacher.states, setting="cpu float32"):
    return teacher.Cache(directory, own, teach, setting, Group())


def untaught(name):
    """A teacher of that name, of whom nothing may be asked."""

    def teach(*_):
        raise AssertionError("the parent was asked again")

    teach.__name__ = name
    return teach


def run(parent, library, variants, cache=None, choice=CHOICE, **changes):
    """Heal a child; return it and its curve."""
    own = loading.load(parent()).requires_grad_(False)
    student = child.assemble(own, variants, library(), choice)
    params = HealParams.model_validate(PARAMS | changes)
    generator = torch.Generator().manual_seed(0)
    return student, train.heal(own, student, TOKENS, params, params.equal, generator, teacher_cache=cache)


def test_states_are_those_of_scoring(own):
    expected = hidden_states(own, X)[0][1:]
    assert all(torch.equal(a, b) for a, b in zip(teacher.states(own, X), expected, strict=True))
    (last,) = teacher.last_state(own, X)
    assert torch.equal(last, expected[-1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cosine", [1.0, 0.0])
def test_losses_from_the_cache_are_bit_equal(parent, library, variants, tmp_path, monkeypatch, cosine, dtype):
    """Of the child that filled it, and of another child, for which the parent is not asked once."""
    choices = CHOICE, ["parent+ffn25", "kv1+linear", "no_op+parent"]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16", cache_enabled=False):
        expected = [run(parent, library, variants, choice=choice, cosine=cosine) for choice in choices]
        first = run(parent, library, variants, tmp_path, cosine=cosine, teacher="cache")
        for name in ("states", "last_state"):
            monkeypatch.setattr(teacher, name, untaught(name))
        second = run(parent, library, variants, tmp_path, choices[1], cosine=cosine, teacher="cache")
    for (student, curve), (other, again) in zip((first, second), expected, strict=True):
        assert curve == again and same(student, other)


def test_files_hold_states_of_the_layers_that_the_loss_needs(own, tmp_path):
    for teach, count in ((teacher.states, 3), (teacher.last_state, 1)):
        cache = cached(tmp_path / teach.__name__, own, teach)
        found = cache(own, X)
        (path,) = cache.directory.iterdir()
        assert len(found) == count and path.stat().st_size == pytest.approx(count * X.numel() * 32 * 4, abs=600)
        assert all(torch.equal(a, b) for a, b in zip(cache(own, X), found, strict=True))


def test_whatever_decides_the_states_has_a_place_of_its_own(own, parent, tmp_path):
    other = loading.load(parent()).requires_grad_(False)
    other.network.model.norm.weight.data[0] += 1e-6
    caches = [
        cached(tmp_path, own),
        cached(tmp_path, other),
        cached(tmp_path, loading.load(parent("llama_ungrouped"))),
        cached(tmp_path, own, teacher.last_state),
        cached(tmp_path, own, setting="cpu bfloat16"),
    ]
    assert len({cache.directory for cache in caches}) == len(caches)
    assert cached(tmp_path, loading.load(parent())).directory == caches[0].directory
    caches[0](own, X)
    caches[0](own, X.flip(0))
    caches[0](own, X.clone())
    assert len(list(caches[0].directory.iterdir())) == 2


def test_damaged_file_is_named(own, tmp_path):
    cache = cached(tmp_path, own)
    cache(own, X)
    (path,) = cache.directory.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{path.name}: truncated"):
        cache(own, X)


def test_two_that_write_at_once_do_not_meet(own, tmp_path):
    """The other finishes while this one computes: one file, whole, and nothing left beside it."""

    def slow(parent, tokens):
        cached(tmp_path, own)(own, tokens)
        return teacher.states(parent, tokens)

    slow.__name__ = "states"
    cache = cached(tmp_path, own, slow)
    found = cache(own, X)
    assert len(list(cache.directory.iterdir())) == 1
    assert all(torch.equal(a, b) for a, b in zip(cached(tmp_path, own, untaught("states"))(own, X), found, strict=True))


def test_cache_without_a_directory_is_refused(parent, library, variants):
    with pytest.raises(ValueError, match=r"heal\.teacher = cache, but there is no cache directory; expected recom"):
        run(parent, library, variants, teacher="cache")


def test_recomputing_keeps_nothing(parent, library, variants, tmp_path):
    run(parent, library, variants, tmp_path)
    assert not list(tmp_path.iterdir())
