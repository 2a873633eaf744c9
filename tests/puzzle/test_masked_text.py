"""Text that models read: its masks, and that every stage hands them on."""

from pathlib import Path

import numpy as np
import pytest
import small_data
import torch

import tessera.puzzle
from tessera.common import files
from tessera.data.tokens import loss_path
from tessera.puzzle import text

#: Every stage that reads text, and what it gives the mask to; `calibration` of the walk returns texts as it reads them.
PACKAGE = Path(tessera.puzzle.__file__).parent
WALK = PACKAGE / "library/walk.py"
READERS = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != WALK and any(f"{place} import" in path.read_text() for place in ("puzzle.text", "library.walk"))
]


@pytest.fixture
def directory(tmp_path):
    """Two documents of 8 tokens, of which some are learnt from."""
    small_data.token_directory(tmp_path, {"chat": [8], "talk": [8]}, "train")
    learnt = [int(c) for c in "001101001010000011"]
    files.write_npy(loss_path(tmp_path, "train"), np.array(learnt, bool))
    return tmp_path


def test_mask_is_of_the_predicted_tokens(directory):
    found = text.read(directory, "train", 3, 4, 0)
    assert found.tokens.shape == (4, 4) and found.mask.shape == (4, 3)
    masks = {int(t[0]): m.int().tolist() for t, m in zip(found.tokens, found.mask, strict=True)}
    assert masks == {1000: [0, 1, 1], 1004: [1, 0, 0], 2000: [1, 0, 0], 2004: [0, 0, 1]}
    for mask, sizes in ((found.mask, [2, 1, 1, 1]), (None, [3] * 4)):
        [batch] = text.batches(found.tokens, mask, 4)
        assert sorted(batch.sizes) == sorted(sizes) and len(batch.targets) == sum(sizes)
        assert torch.equal(batch.targets, batch.counted(batch.inputs) + 1)


def test_last_token_of_calibration_text_counts_if_the_next_one_does(directory):
    found = text.read(directory, "train", 4, 4, 0, target=False)
    masks = {int(t[0]): m.int().tolist() for t, m in zip(found.tokens, found.mask, strict=True)}
    assert masks == {1000: [0, 1, 1, 0], 1004: [1, 0, 0, 1], 2000: [1, 0, 0, 0], 2004: [0, 0, 1, 1]}


def test_plain_text_has_no_mask(directory):
    loss_path(directory, "train").unlink()
    assert text.read(directory, "train", 3, 2, 0).mask is None
    values = torch.randn(2, 3, 5)
    assert torch.equal(text.counted(values, None), text.counted(values, torch.ones(2, 3, dtype=torch.bool)))


def test_texts_are_joined_with_their_masks(directory):
    one, other = (text.read(directory, "train", 3, 1, 0, [source]) for source in ("chat", "talk"))
    both = text.joined([one, other])
    assert torch.equal(both.mask, torch.cat([one.mask, other.mask])) and both.source.tolist() == ["chat", "talk"]
    plain = text.Text(other.tokens, None, other.document, other.source)
    assert text.joined([one, plain]).mask[1].all() and text.joined([plain, plain]).mask is None


def test_window_without_anything_that_counts_is_refused():
    tokens, mask = torch.zeros(2, 4, dtype=torch.long), torch.tensor([[True] * 3, [False] * 3])
    with pytest.raises(ValueError, match="1 of 2 windows have no position that counts; leave them out"):
        text.batches(tokens, mask, 1)


@pytest.mark.parametrize("path", READERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_who_reads_text_hands_its_mask_on(path):
    """Each text that a file reads brings its mask to where its tokens go."""
    code = path.read_text()
    texts = code.count(" read(") + code.count(" calibration(")
    assert code.count(".mask") >= texts, "a text is read whose mask is not used"


def test_text_is_read_in_one_place():
    """What reads windows by another way could overlook their mask."""
    others = [path for path in PACKAGE.rglob("*.py") if "data.tokens import windows" in path.read_text()]
    assert others == [PACKAGE / "text.py"] and len(READERS) > 15
