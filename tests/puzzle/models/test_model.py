"""The heterogeneous decoder against transformers' own models."""

import pytest
import torch
from tiny_models import PARENTS
from transformers import AutoModelForCausalLM

from tessera.puzzle.models import loading
from tessera.puzzle.models.model import rotary_frequencies

TOKENS = torch.randint(1, 64, (2, 40), generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=PARENTS)
def both(request, parent):
    """One parent as transformers has it, and as this package does."""
    directory = parent(request.param)
    return AutoModelForCausalLM.from_pretrained(directory).eval(), loading.load(directory)


@torch.no_grad()
def test_logits_equal_those_of_transformers(both):
    theirs, ours = both
    expected = theirs(TOKENS).logits
    torch.testing.assert_close(ours(TOKENS), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@torch.no_grad()
def test_greedy_generation_by_cache_equals_that_of_transformers(both):
    theirs, ours = both
    expected = theirs.generate(TOKENS[:, :9], max_new_tokens=12, do_sample=False)
    caches = ours.new_caches(2, 20)
    logits, found = ours(TOKENS[:, :9], caches), TOKENS[:, :9]
    for i in range(12):
        found = torch.cat((found, logits[:, -1:].argmax(-1)), 1)
        if i < 11:
            logits = ours(found[:, -1:], caches, start=9 + i)
    torch.testing.assert_close(found, expected)


@torch.no_grad()
@pytest.mark.parametrize("pieces", [[40], [1, 39], [17, 5, 1, 17], [1] * 40])
def test_pieces_by_cache_equal_the_whole(parent, pieces):
    model = loading.load(parent())
    caches, start, found = model.new_caches(2, 40), 0, []
    for piece in TOKENS.split(pieces, 1):
        found.append(model(piece, caches, start))
        start += piece.shape[1]
    torch.testing.assert_close(torch.cat(found, 1), model(TOKENS), rtol=1e-4, atol=1e-5)


def test_full_cache_is_a_clear_error(parent):
    model = loading.load(parent())
    with pytest.raises(ValueError, match="holds 8 tokens; 9 were asked"):
        model(TOKENS[:, :9], model.new_caches(2, 8))


def test_tied_head_is_the_embedding(parent):
    tied, untied = loading.load(parent("llama")), loading.load(parent("llama_ungrouped"))
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    assert not torch.equal(untied.lm_head.weight, untied.model.embed_tokens.weight)


def test_unknown_rotary_embedding_is_refused():
    with pytest.raises(ValueError, match="'yarn'; supported are default, linear, llama3"):
        rotary_frequencies({"rope_type": "yarn", "rope_theta": 1e4}, 8)
