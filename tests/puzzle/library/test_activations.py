"""Hidden states in files: the same numbers as in memory, a few windows at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tessera.common import files
from tessera.puzzle.library.activations import (
    Activations,
    StoredStates,
    store,
    store_before,
    store_mask,
    stored_mask,
    writing,
)
from tessera.puzzle.models import loading
from tessera.puzzle.scores.replace_one import hidden_states


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where examples write over one another."""
    return tmp_path_factory.mktemp("states")


@given(
    parts=st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any),
    size=st.integers(1, 7),
    start=st.integers(0, 12),
    data=st.data(),
)
def test_files_one_after_another_are_a_tensor(directory, parts, size, start, data):
    whole = torch.randn(sum(parts), 3, 2)
    paths = [directory / f"{i}.npy" for i in range(len(parts))]
    for path, part in zip(paths, whole.split(parts), strict=True):
        np.save(path, part.numpy())
    stored = StoredStates(paths)
    assert len(stored) == len(whole) and tuple(stored.shape) == tuple(whole.shape)
    split = list(stored.split(size))
    assert [len(part) for part in split] == [len(part) for part in whole.split(size)]
    assert torch.equal(torch.cat(split), whole)
    assert torch.equal(stored[start : start + size], whole[start : start + size])
    chosen = torch.tensor(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)), dtype=torch.long)
    assert torch.equal(stored[chosen], whole[chosen])


def test_a_file_that_grew_has_the_bytes_of_one_written_whole(tmp_path):
    whole = torch.randn(7, 3, 2)
    store(tmp_path / "grown.npy", whole.shape, whole.split(2))
    files.write_npy(tmp_path / "whole.npy", whole.numpy())
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize("windows", [0, 1, 3])
def test_too_few_or_many_windows_are_an_error(tmp_path, windows):
    with pytest.raises(ValueError, match=rf"x\.npy: {24 * windows} bytes were written, but the shape .* needs 48"):
        store(tmp_path / "x.npy", (2, 3, 2), torch.randn(windows, 3, 2).split(1) if windows else [])


def test_damaged_and_foreign_files_are_named(tmp_path):
    whole, other, double, cut = (tmp_path / f"{name}.npy" for name in ("whole", "other", "double", "cut"))
    files.write_npy(whole, np.zeros((4, 3, 2), np.float32))
    files.write_npy(other, np.zeros((4, 3, 5), np.float32))
    files.write_npy(double, np.zeros((4, 3, 2)))
    cut.write_bytes(whole.read_bytes()[:-4])
    with pytest.raises(FileNotFoundError, match="missing"):
        StoredStates([whole, tmp_path / "missing.npy"])
    for path, message in ((cut, "truncated"), (other, r"\(4, 3, 5\)"), (double, "float64")):
        with pytest.raises(ValueError, match=rf"{path.name}.*{message}"):
            StoredStates([whole, path])
    stored = StoredStates([whole])
    whole.write_bytes(cut.read_bytes())
    with pytest.raises(ValueError, match=r"whole\.npy: was cut short"):
        stored[3:]


def test_states_before_layers_are_the_parent_s(parent, tmp_path):
    model = loading.load(parent())
    text = torch.randint(1, 64, (19, 16))
    found = store_before([0, 2], model, text, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["layer_0.npy", "layer_2.npy"]
    expected = hidden_states(model, text)[0]
    for layer, states in found.items():
        torch.testing.assert_close(states[:], expected[layer])


def test_masks_are_kept_next_to_the_states(tmp_path):
    mask = torch.rand(5, 3) > 0.5
    places = [tmp_path / name for name in ("one", "two", "none")]
    for place, part in zip(places, (mask[:2], mask[2:], None), strict=True):
        place.mkdir()
        store_mask(part, place)
    assert torch.equal(stored_mask(places[:2]), mask)
    assert stored_mask(places[2:]) is None and not list(places[2].iterdir())


def test_activations_come_in_batches_with_their_mask(parent, tmp_path):
    model = loading.load(parent()).requires_grad_(False)
    states, _, calls = hidden_states(model, torch.randint(1, 64, (19, 16)))
    mask = torch.rand(19, 16) > 0.5
    found = Activations.of(model.layers[2], states[2], calls, tmp_path / "new", mask)
    before, _, after, masks = zip(*found.batches(), strict=True)
    assert [len(part) for part in before] == [8, 8, 3]
    assert torch.equal(torch.cat(before), states[2]) and torch.equal(torch.cat(masks), mask)
    torch.testing.assert_close(torch.cat(after), states[3])


def test_activations_around_a_layer_are_the_parent_s(parent, tmp_path):
    model = loading.load(parent()).requires_grad_(False)
    text = torch.randint(1, 64, (19, 16))
    states, middle, calls = hidden_states(model, text)
    found = Activations.of(model.layers[2], states[2], calls, tmp_path / "new")
    for mine, expected in ((found.before, states[2]), (found.middle, middle[2]), (found.after, states[3])):
        torch.testing.assert_close(mine[:], expected)


def test_a_write_that_fails_is_not_hidden_by_the_count(tmp_path):
    with pytest.raises(OSError, match="elsewhere"), writing(tmp_path / "x.npy", (2, 3, 2)):
        raise OSError("elsewhere")
