"""Cases of the ablations: their blocks and their spread."""

import numpy as np
import pytest
import torch
from scipy import stats
from small_library_params import PARAMS

from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.models import loading
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.scores.replace_one import hidden_states
from tessera.puzzle.studies.ablations import cases
from tessera.puzzle.studies.ablations.seed_means import mean_and_half
from tessera.puzzle.text import Text


def generator(layer, name):
    return torch.Generator().manual_seed(10 * layer + len(name))


@pytest.mark.parametrize("mask", [None, torch.arange(16).expand(28, 16) % 3 == 1], ids=["all", "mask"])
def test_blocks_of_a_child_are_those_of_a_library(parent, variants, tmp_path, mask):
    """Made alone, layer by layer, from the same text."""
    model = loading.load(parent()).requires_grad_(False)
    text = torch.randint(1, 64, (28, 16), generator=torch.Generator().manual_seed(0))
    params = LibraryParams.model_validate(PARAMS)
    choice = ["parent+parent", "kv1+parent", "kv1+ffn50"]
    own, scratch = tmp_path / "own", tmp_path / "scratch"
    own.mkdir()
    masks = (None, None) if mask is None else (mask[:24], mask[24:])
    texts = [
        Text(part, counts, np.arange(len(part)), np.full(len(part), "a"))
        for part, counts in zip((text[:24], text[24:]), masks, strict=True)
    ]
    made = dict(cases.blocks_of(model, variants, params, choice, *texts, generator, own))
    assert [path.name for path in own.iterdir()] == ["2"]  # the states around layers that are done are removed
    states = hidden_states(model, text)[0]
    assert made[0] == {}
    for layer, wanted in ((1, ["attention.kv1"]), (2, ["attention.kv1", "ffn.ffn50"])):
        (scratch / str(layer)).mkdir(parents=True)
        whole, _ = LayerLibrary(
            model, layer, variants, params, states[layer][:24], states[layer][24:],
            lambda name, layer=layer: generator(layer, name), scratch / str(layer), masks,
        ).build()  # fmt: skip
        assert {key.partition("/")[0] for key in made[layer]} == set(wanted)
        for key, value in made[layer].items():
            torch.testing.assert_close(value, whole[key], rtol=1e-3, atol=1e-4)


def test_the_paper_s_start_keeps_channels_of_largest_contribution():
    params = LibraryParams.model_validate(PARAMS)
    found = {name: cases.starting(params, name, 7) for name in ("random", "paper", "least_squares")}
    assert [one.initialisation for one in found.values()] == ["paper", "paper", "least_squares"]
    assert [one.selection for one in found.values()] == ["contribution", "contribution", "reconstruction"]
    assert {one.distillation.tokens for one in found.values()} == {7}


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [3.0, 3.0]])
def test_half_is_of_student_s_interval(values):
    mean, half = mean_and_half(values)
    scale = stats.sem(values) or 1e-300  # SciPy has no interval of scale 0
    low, high = stats.t.interval(0.95, len(values) - 1, sum(values) / len(values), scale)
    assert half is not None
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_one_seed_has_no_interval():
    assert mean_and_half([2.0]) == (2.0, None)
