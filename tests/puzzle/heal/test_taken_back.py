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


def measured(teacher, before, after):
    """What is kept, its record, and its KL measured again."""
    reference = Reference(teacher, TOKENS, np.arange(6))
    kept, record = validation.best(reference, before, after)
    assert reference.measure(kept)["kl_div"] == pytest.approx(record["kept"], rel=1e-6)
    return kept, record


@pytest.fixture
def teacher(parent):
    return loading.load(parent()).requires_grad_(False)


@pytest.mark.parametrize(("before", "after", "share"), [(0.2, 0.05, 1.0), (0.05, 0.2, 0.0), (0.1, 0.1, 0.0)])
def test_what_does_harm_is_taken_back(teacher, before, after, share):
    """Both ways lead along one line through the teacher, on the same side of it."""
    children = [moved(teacher, distance) for distance in (before, after)]
    kept, record = measured(teacher, *children)
    assert kept is children[share > 0] and record["kept"] <= min(record["before"], record["after"])
    assert record["share"] == 0 if not share else record["share"] >= share


def test_beyond_the_best_place_the_way_is_gone_back(teacher):
    """From one side of the teacher to twice as far on the other: a third of the way leads to the teacher itself."""
    _, record = measured(teacher, moved(teacher, 0.02), moved(teacher, -0.04))
    assert record["share"] == pytest.approx(1 / 3, abs=0.03)
    assert record["kept"] < 0.05 * record["before"] < record["after"]


def test_a_way_that_is_too_short_is_gone_on_with(teacher):
    _, record = measured(teacher, moved(teacher, 0.03), moved(teacher, 0.01))
    assert record["share"] == pytest.approx(1.5) and record["kept"] < record["after"]


def test_a_healing_that_diverged_is_taken_back(teacher):
    before, after = moved(teacher, 0.05), moved(teacher, 0.1)

    class Diverged:
        def measure(self, model):
            return {"kl_div": 0.2 if model is before else float("nan")}

    kept, record = validation.best(Diverged(), before, after)
    assert kept is before and record["share"] == 0 and record["kept"] == record["before"] == 0.2


def test_words():
    record = {"before": 0.04, "after": 0.05, "kept": 0.04, "share": 0.0}
    assert validation.words("healing h100/mip", record) == (
        "healing h100/mip: KL on validation text 0.0400 before, 0.0500 after; taken back"
    )
    assert validation.words("refit", record | {"kept": 0.03, "share": 0.4}).endswith("kept 0.40 of the way, 0.0300")
