"""What is kept of a refit and a healing."""

import copy

import numpy as np
import pytest
import torch

from tessera.puzzle.heal import validation
from tessera.puzzle.models import loading
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.scores.reference import Reference

TOKENS = torch.randint(1, 64, (6, 13), generator=torch.Generator().manual_seed(5))


def moved(model, by):
    """A copy whose weights are some way from the model's; NaN of a healing that diverged."""
    changed = LanguageModel(copy.deepcopy(model.network))
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for weight in changed.network.parameters():
            weight += by * torch.randn(weight.shape, generator=generator)
    return changed


@pytest.mark.parametrize(("before", "after", "kept"), [(0.2, 0.05, True), (0.05, 0.2, False), (0.1, 0.1, False)])
def test_the_child_of_lower_kl_is_kept(parent, before, after, kept):
    teacher = loading.load(parent()).requires_grad_(False)
    children = [moved(teacher, distance) for distance in (before, after)]
    better, record = validation.better(Reference(teacher, TOKENS, np.arange(6)), *children)
    assert better is children[kept] and record["kept"] == kept
    assert record["before"] > 0


def test_words():
    record = {"before": 0.04, "after": 0.05, "kept": False}
    assert validation.words("healing h100/mip", record) == (
        "healing h100/mip: KL on validation text 0.0400 before, 0.0500 after; taken back"
    )
