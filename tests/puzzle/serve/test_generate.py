"""What a model writes, against transformers' own greedy search and against whole forward passes."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from tessera.puzzle.models import loading
from tessera.puzzle.serve.generate import generate

PROMPTS = torch.randint(1, 64, (2, 7), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_greedy_text_is_that_of_transformers(parent, name):
    theirs = AutoModelForCausalLM.from_pretrained(parent(name)).eval()
    expected = theirs.generate(PROMPTS, max_new_tokens=12, do_sample=False)[:, 7:]
    torch.testing.assert_close(generate(loading.load(parent(name)), PROMPTS, 12), expected)


@torch.no_grad()
def test_drawn_text_is_by_the_models_own_probabilities(parent):
    model, repeats = loading.load(parent()), 4000
    found = generate(model, PROMPTS[:1].expand(repeats, -1), 1, temperature=2.0, seed=3)[:, 0]
    expected = (model(PROMPTS[:1])[0, -1].double() / 2.0).softmax(-1)
    shares = torch.bincount(found, minlength=64) / repeats
    assert (shares - expected).abs().max() < 5 * (0.25 / repeats) ** 0.5  # 5 standard errors at most


def test_a_seed_gives_one_text_and_a_low_temperature_the_likeliest(parent):
    model = loading.load(parent())
    one, same, other = (generate(model, PROMPTS, 9, 2.0, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(generate(model, PROMPTS, 9, 1e-3, 1), generate(model, PROMPTS, 9))
