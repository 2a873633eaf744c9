"""Which items are reported, of which sets, and that every model must have answered them."""

import pandas as pd
import pytest
import small_data
from tokenizers.processors import TemplateProcessing

from tessera.common import files
from tessera.data import tokens
from tessera.puzzle.scores import task_items

ITEMS = pd.DataFrame(
    [
        {"group": "all", "set": name, "index": i, "prompt": "p", "choices": [" a", " b"], "answer": 0, "chance": 0.5}
        for name in ("known", "guessed")
        for i in range(8)
    ]
)


def answers(right, indices=range(8)):
    """A table of answers: right(name, index) tells whether the right choice is the likeliest."""
    return pd.DataFrame(
        [
            {"set": name, "index": i, "choice": choice, "log_probability": float(choice != right(name, i))}
            for name in ("known", "guessed")
            for i in indices
            for choice in (0, 1)
        ]
    )


@pytest.fixture
def paths(tmp_path):
    """Items, and answers of the parent, who guesses one set, and of a child, who is right in half of the items."""
    tables = {
        "items": ITEMS,
        "parent": answers(lambda name, i: name == "known" or i % 4 < 2),
        "child": answers(lambda name, i: i % 4 < 2, range(1, 8, 2)),
    }
    for name, table in tables.items():
        files.write_parquet(tmp_path / f"{name}.parquet", table)
    return {name: tmp_path / f"{name}.parquet" for name in tables}


def test_the_reported_half_of_the_sets_that_count(paths):
    answered = task_items.read(paths["items"], [paths["parent"], paths["child"]], margin=2.0)
    assert {name: selection.kept for name, selection in answered.selection.items()} == {"known": True, "guessed": False}
    assert list(answered.counted.sets) == 4 * ["known"] and len(answered.every.sets) == 8
    assert answered.counted.right["parent"].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert answered.counted.right["child"].tolist() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("begin", [[], [1, 2]])
def test_a_prompt_begins_as_the_tokenizer_begins_a_text(tmp_path, begin):
    small_data.write_parent(tmp_path)
    encoder, separator = tokens.tokenizer(tmp_path / "tokenizer.json", tmp_path / "generation_config.json", None)
    if begin:
        pieces = [("<|im_start|>", 1), ("<|im_end|>", 2)]
        encoder.post_processor = TemplateProcessing(single="<|im_start|> <|im_end|> $A", special_tokens=pieces)
        encoder.save(str(tmp_path / "tokenizer.json"))
    items = pd.DataFrame([{"prompt": "hello", "choices": [" world", " hello"]}])
    [item] = task_items.tokenised(items, tmp_path, None)
    assert item.prompt == [*(begin or [separator]), *encoder.encode("hello", add_special_tokens=False).ids]
    assert item.choices == [encoder.encode(text, add_special_tokens=False).ids for text in (" world", " hello")]


def test_an_item_that_a_model_was_not_asked_is_named(paths):
    files.write_parquet(paths["child"], files.read_parquet(paths["child"]).query("index != 5"))
    with pytest.raises(ValueError, match="child: no answer to item 5 of known; delete its answers and run again"):
        task_items.read(paths["items"], [paths["parent"], paths["child"]], margin=2.0)
