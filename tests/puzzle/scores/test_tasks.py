"""Log-probabilities of choices, each prompt run once, against transformers and against one sequence at a time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tessera.puzzle import child
from tessera.puzzle.models import loading
from tessera.puzzle.scores.choices import Tokens, batches, log_probabilities

ITEMS = [
    Tokens([0, 5, 6, 7], [[8], [9, 10], [11, 12, 13]]),
    Tokens([0], [[3, 3, 3, 3, 3], [4]]),
    Tokens([0, 60, 2], [[8, 9], [8, 10]]),  # choices that begin alike
    Tokens([1, 2, 3, 4, 5, 6, 7, 8, 9], [[1], [2], [3], [4], [5]]),
]


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "llama_biases", "qwen3", "llama_llama3"])
def test_sums_equal_those_of_transformers(parent, name):
    theirs = AutoModelForCausalLM.from_pretrained(parent(name)).eval()
    found = log_probabilities(loading.load(parent(name)), ITEMS)
    for item, sums in zip(ITEMS, found, strict=True):
        for choice, value in zip(item.choices, sums, strict=True):
            logits = theirs(torch.tensor([item.prompt + choice])).logits[0].double().log_softmax(-1)
            expected = sum(logits[len(item.prompt) - 1 + i, token].item() for i, token in enumerate(choice))
            assert value == pytest.approx(expected, abs=1e-4)


def test_a_child_without_attention_in_a_layer(parent, library, variants):
    place = parent()
    choice = ["no_op+ffn50", "linear+parent", "kv1+no_op"]
    model = child.assemble(loading.load(place), variants, library(), choice)
    together = log_probabilities(model, ITEMS)
    apart = [log_probabilities(model, [Tokens(item.prompt, [one])])[0][0] for item in ITEMS for one in item.choices]
    assert [value for sums in together for value in sums] == pytest.approx(apart, abs=1e-4)


@pytest.mark.parametrize("wrong", [Tokens([], [[1]]), Tokens([1], []), Tokens([1], [[2], []])])
def test_empty_parts_are_refused(parent, wrong):
    with pytest.raises(ValueError, match="item 1: the prompt and each of its choices must have"):
        log_probabilities(loading.load(parent()), [ITEMS[0], wrong])


@given(sizes=st.lists(st.integers(1, 40), max_size=30), tokens=st.integers(1, 100))
def test_batches_hold_every_item_once_and_no_more_tokens_than_allowed(sizes, tokens):
    made = batches(sizes, tokens)
    assert sorted(i for batch in made for i in batch) == list(range(len(sizes)))
    assert all(len(batch) == 1 or len(batch) * max(sizes[i] for i in batch) <= tokens for batch in made)
