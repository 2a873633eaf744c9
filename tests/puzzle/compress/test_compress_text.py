"""Text that is split so that every side has some, counted as the workflow counts it."""

import json
import random

import pandas as pd
import pytest
import small_data
from small_facts import request
from tokenizers import Tokenizer, models, pre_tokenizers

from tessera.common import files
from tessera.data import corpus, own_text, parent, tokens
from tessera.data.chat_template import ChatTemplate
from tessera.data.parent import Texts
from tessera.puzzle.compress import text as texts

WORDS = [f"word{i}" for i in range(500)]


@pytest.fixture(autouse=True)
def _titles_that_do_not_change(tmp_path, monkeypatch):
    """A text is split by FILE:LINE; FILE begins in the repository."""
    monkeypatch.setattr(texts, "REPOSITORY", tmp_path)


@pytest.fixture(scope="module")
def encoder():
    made = Tokenizer(models.WordLevel({"[unk]": 0, "<eos>": 1} | {w: i for i, w in enumerate(WORDS, 2)}, "[unk]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["<eos>"])
    return Texts(made, {}, {"eos_token_id": 1})


def document(number, words):
    drawn = random.Random(number)
    return " ".join(drawn.choice(WORDS) for _ in range(words))


def written(tmp_path, counts, name="a"):
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"text": document(n, words)}) + "\n" for n, words in enumerate(counts)))
    return path


def asked(**paths):
    return request(text={name: [str(path)] for name, path in paths.items()})


def test_enough_text_is_split_as_by_default(tmp_path, encoder):
    found = texts.split(asked(text=written(tmp_path, [100] * 1500)), encoder, tmp_path)
    assert (found.percent, found.window, found.documents) == (5, 128, 1500)
    assert "cut" not in found.sources["text"]
    assert sum(found.tokens.values()) == 150_000


def windows_found(tmp_path, found, sources, encoder, template=None):
    """Windows by split and source, as the workflow cuts the text."""
    params = texts.text_params(found.sources, found.percent)
    tables = {}
    for name, path in sources.items():
        rows = [vars(one) for one in own_text.documents(name, {path.name: path}, params, template)]
        tables[name] = pd.DataFrame(rows).dropna(axis="columns", how="all")
    rows, _ = corpus.joined(tables, [], texts.NGRAM)
    encoded, counted = corpus.encoded(encoder.tokenizer, rows)
    rows["length"], rows["offset"] = encoded.map(len), 0
    for split in found.windows:
        chosen = rows["split"] == split
        stream, rows.loc[chosen, "offset"] = tokens.stream(encoded[chosen].tolist(), 1)
        files.write_npy(tmp_path / f"{split}.npy", stream)
        if template:
            files.write_npy(tokens.loss_path(tmp_path, split), corpus.mask(counted[chosen]))
    files.write_parquet(tmp_path / "documents.parquet", rows[["source", "title", "split", "offset", "length"]])
    return {
        split: {name: len(tokens.windows(tmp_path, split, found.window + 1, sources=[name])) for name in sources}
        for split in found.windows
    }


def test_windows_are_those_that_the_workflow_finds(tmp_path, encoder):
    sources = {"b": written(tmp_path, [40, 200] * 300, "b"), "a": written(tmp_path, [90] * 900, "a")}
    found = texts.split(asked(**sources), encoder, tmp_path)
    assert found.windows == windows_found(tmp_path, found, sources, encoder)


def test_windows_without_an_answer_are_not_counted(tmp_path):
    small_data.write_parent(tmp_path)
    with (tmp_path / "talks.jsonl").open("w") as file:
        for number in range(400):
            said = {"user": document(number, 60), "assistant": document(-number, 3)}
            messages = [{"role": role, "content": content} for role, content in said.items()]
            file.write(json.dumps({"messages": messages}) + "\n")
    sources, encoder = {"talks": tmp_path / "talks.jsonl"}, parent.texts_of(tmp_path)
    every, answers = (
        texts.split(request(text={"talks": [str(sources["talks"])]}, format="messages", loss=loss), encoder, tmp_path)
        for loss in ("all", "answers")
    )
    assert answers.sources["talks"]["loss"] == "answers"
    assert 0 < 2 * answers.count("train") < every.count("train")
    assert answers.windows == windows_found(tmp_path, answers, sources, encoder, ChatTemplate(tmp_path))


def test_few_documents_have_larger_shares_held_out(tmp_path, encoder):
    found = texts.split(asked(text=written(tmp_path, [130] * 60)), encoder, tmp_path)
    assert found.percent > 5
    assert found.count("valid") >= 3 and found.count("test") >= 2


def test_text_is_four_times_as_long_as_an_attentions_window(tmp_path, encoder):
    path = str(written(tmp_path, [600] * 400))
    found = texts.split(request(text={"text": [path]}, window=64), encoder, tmp_path)
    assert (found.window, found.scored, found.tested) == (256, 256, 256)
    plain = texts.split(request(text={"text": [path]}), encoder, tmp_path)
    assert (plain.window, plain.scored, plain.tested) == (128, 80, 128)
    with pytest.raises(ValueError, match=r"needed are 8 windows of 40000 tokens to learn from"):
        texts.split(request(text={"text": [path]}, window=10_000), encoder, tmp_path)


def test_long_documents_are_cut(tmp_path, encoder):
    found = texts.split(asked(text=written(tmp_path, [30_000, 20_000])), encoder, tmp_path)
    assert found.sources["text"]["cut"] == texts.CUT
    assert all(found.count(split) for split in ("train", "valid", "test"))
    assert any("cut into pieces" in line for line in texts.sentences(found))


def test_one_long_file_of_text_is_enough(tmp_path, encoder):
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(document(n, 80) for n in range(300)))
    assert texts.split(asked(text=path), encoder, tmp_path).count("test") >= 2


@pytest.mark.parametrize("counts", [[50] * 10, [200]])
def test_too_little_text(tmp_path, encoder, counts):
    with pytest.raises(ValueError, match=r"--text: [\d,]+ tokens in \d+ documents are too few: .*expected about 4,160"):
        texts.split(asked(text=written(tmp_path, counts)), encoder, tmp_path)


def test_text_without_a_document_that_is_long_enough(tmp_path, encoder):
    with pytest.raises(ValueError, match="--text: no document has 100 characters or more"):
        texts.split(asked(text=written(tmp_path, [3] * 50)), encoder, tmp_path)


def test_a_damaged_file_is_named(tmp_path, encoder):
    path = written(tmp_path, [100] * 3)
    path.write_text(path.read_text() + "{]\n")
    with pytest.raises(ValueError, match=r"a\.jsonl:4: not JSON"):
        texts.split(asked(text=path), encoder, tmp_path)
