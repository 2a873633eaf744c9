"""The data stages on small inputs, from package to windows."""

import json
from pathlib import Path

import pytest
import small_data

from tessera.common import files, params, stage
from tessera.data import parent as parents
from tessera.data import tokens
from tessera.data.gguf_parent import Gguf
from tessera.data.params import TokensParams
from tessera.data.stages import fetch
from tessera.data.stages import text as data_text
from tessera.data.stages import tokens as data_tokens

WORDS = [f"word{i}" for i in range(14)]


@pytest.fixture
def parent(tmp_path):
    """A parent's texts, from a GGUF file."""
    small_data.write_gguf(tmp_path / "small.gguf", small_data.llama())
    file = Gguf(tmp_path / "small.gguf")
    parents.Texts(file.tokenizer(), file.tokenizer_config(), {"bos_token_id": 1, "eos_token_id": 2}).write(
        tmp_path / "parent"
    )
    return tmp_path / "parent"


@pytest.fixture
def texts(tmp_path):
    """The documents of two sources; the second paragraph of owt is in half of the leads."""
    leads = {
        f"title {i}": {"extract": f"{' '.join(WORDS if i < 100 else WORDS[:9])} and number {i}"} for i in range(200)
    }
    lines = [" ".join(reversed(WORDS)), " ".join(WORDS[:13])]
    contents = {
        "a.json": json.dumps(leads).encode(),
        "b.jsonl": "\n".join(json.dumps({"0": x}) for x in lines).encode(),
    }
    small_data.wheel(tmp_path / "text.whl", contents)
    text = small_data.text_params(test_percent=10, valid_percent=10)
    for source, member in (("wiki_leads", "a.json"), ("owt", "b.jsonl")):
        made = data_text.Params(text=text, member=member)
        data_text.main(made, source, [tmp_path / "text.whl"], tmp_path / f"text/{source}.parquet")
    return tmp_path / "text"


def make_tokens(parent, texts, directory, sources=("wiki_leads",), masked=False):
    data_tokens.main(
        TokensParams(ngram=13, separator="<|endoftext|>"),
        [texts / f"{source}.parquet" for source in sources],
        [texts / "owt.parquet"],
        parent / "tokenizer.json",
        parent / "generation_config.json",
        [directory / f"{split}.npy" for split in tokens.SPLITS],
        [tokens.loss_path(directory, split) for split in tokens.SPLITS] if masked else [],
        directory / "documents.parquet",
        directory / "data.json",
        directory / "data.md",
    )


def test_streams_hold_the_texts(parent, texts, tmp_path):
    make_tokens(parent, texts, tmp_path / "tokens")
    made, separator = tokens.tokenizer(parent / "tokenizer.json", parent / "generation_config.json", "<|endoftext|>")
    expected = files.read_parquet(texts / "wiki_leads.parquet")
    unique = expected["text"].str.split().str.len() < 13
    for split in ("train", "valid", "test"):
        stream, documents = tokens.load(tmp_path / "tokens", split)
        own = expected[(expected["split"] == split) & (unique | (split == "train"))]
        assert 0 < len(own) < len(expected) and documents["title"].tolist() == own["title"].tolist()
        for (_, row), text in zip(documents.iterrows(), own["text"], strict=True):
            end = row["offset"] + row["length"]
            assert made.decode(stream[row["offset"] : end].tolist()) == text
            assert stream[end] == separator
        assert len(stream) == documents["length"].sum() + len(documents)


def test_documents_that_share_text_with_training_are_dropped_and_counted(parent, texts, tmp_path):
    make_tokens(parent, texts, tmp_path / "tokens")
    _, documents = tokens.load(tmp_path / "tokens", "ood")
    assert documents["title"].tolist() == ["b:0"]
    counts = files.read_json(tmp_path / "tokens/data.json")
    assert counts["ood"]["owt"]["sharing"] == 1 and counts["ood"]["owt"]["documents"] == 1
    written = files.read_parquet(texts / "wiki_leads.parquet")
    for split in ("valid", "test"):
        counted = counts[split]["wiki_leads"]
        assert counted["sharing"] > 0 < counted["documents"]
        assert counted["sharing"] + counted["documents"] == (written["split"] == split).sum()
    found = tokens.windows(tmp_path / "tokens", "train", 8, 20)
    assert found.tokens.shape == (20, 8) and set(found.source) == {"wiki_leads"}


def test_a_source_of_which_all_test_documents_share_text_is_refused(parent, texts, tmp_path):
    table = files.read_parquet(texts / "wiki_leads.parquet")
    files.write_parquet(texts / "wiki_leads.parquet", table[table["text"].str.split().str.len() > 13])
    with pytest.raises(ValueError, match=r"wiki_leads: all \d+ documents of the split test have 13 consecutive words"):
        make_tokens(parent, texts, tmp_path / "tokens")


def own_text(root, parent, source, rows, **settings):
    """Write rows, and the documents that the stage reads in them, into a directory of texts."""
    (root / f"{source}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = small_data.text_params(sources={source: {"files": [f"{source}.jsonl"]} | settings}, test_percent=20)
    made = data_text.Params(text=text)
    data_text.main(made, source, [root / f"{source}.jsonl"], root / f"text/{source}.parquet", root, parent)


def test_text_of_your_own_becomes_windows(parent, texts, tmp_path):
    own_text(tmp_path, None, "mine", [{"text": f"document {i} of mine"} for i in range(80)])
    make_tokens(parent, texts, tmp_path / "tokens", ["wiki_leads", "mine"])
    counts = files.read_json(tmp_path / "tokens/data.json")
    assert sum(counts[split]["mine"]["documents"] for split in ("train", "valid", "test")) == 80
    _, documents = tokens.load(tmp_path / "tokens", "train")
    assert documents["title"].iloc[-1].startswith("mine.jsonl:"), "relative to the root, wherever it is"
    assert len(tokens.windows(tmp_path / "tokens", "train", 8, 20, sources=["mine"])) == 20
    assert not list((tmp_path / "tokens").glob("loss_*"))


def test_answers_alone_are_learnt_from(parent, texts, tmp_path):
    talks = [
        [{"role": "user", "content": f"what about {i}?"}, {"role": "assistant", "content": f"hello {i * i} hello"}]
        for i in range(60)
    ]
    own_text(tmp_path, parent, "talk", [{"messages": t} for t in talks], format="messages", loss="answers")
    sources = ["wiki_leads", "talk"]
    make_tokens(parent, texts, tmp_path / "tokens", sources, masked=True)
    encoder, _ = tokens.tokenizer(parent / "tokenizer.json", parent / "generation_config.json", None)
    stream, documents = tokens.load(tmp_path / "tokens", "train")
    mask = files.read_npy(tokens.loss_path(tmp_path / "tokens", "train"))
    assert mask.shape == stream.shape and mask.dtype == bool
    for row in documents.itertuples():
        part = slice(row.offset, row.offset + row.length)
        learnt = encoder.decode(stream[part][mask[part]].tolist(), skip_special_tokens=False)
        if row.source == "talk":
            number = int(row.title.rpartition(":")[2]) - 1
            assert learnt == f"{talks[number][1]['content']}<|im_end|>"
            assert not mask[row.offset + row.length], "nothing is asked before the separator"
        else:
            assert mask[row.offset : row.offset + row.length + 1].all()
    windows = tokens.windows(tmp_path / "tokens", "train", 16)
    assert windows.mask is not None and windows.mask.shape == windows.tokens.shape
    assert windows.mask[:, :-1].any(axis=1).all()
    make_tokens(parent, texts, tmp_path / "tokens", ["wiki_leads"])
    assert not list((tmp_path / "tokens").glob("loss_*")), "no mask is left of other parameters"


def test_answers_and_not_prompts_are_looked_up_in_training_text(parent, texts, tmp_path):
    prompt = " ".join(f"prompt{i}" for i in range(20))
    rows = [
        {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": f"answer {i}"}]}
        for i in range(60)
    ]
    own_text(tmp_path, parent, "talk", rows, format="messages")
    make_tokens(parent, texts, tmp_path / "tokens", ["talk"])
    counts = files.read_json(tmp_path / "tokens/data.json")
    assert counts["test"]["talk"]["sharing"] == 0 < counts["test"]["talk"]["documents"]


def test_own_text_without_a_document_is_refused(tmp_path):
    (tmp_path / "text").mkdir()
    with pytest.raises(ValueError, match=r"mine: no document fits data\.text; see min_characters"):
        own_text(tmp_path, None, "mine", [{"text": " "}])
    assert not (tmp_path / "text/mine.parquet").exists()


def test_the_same_bytes_twice(parent, texts, tmp_path):
    for name in ("a", "b"):
        make_tokens(parent, texts, tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 7
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_a_source_without_documents_is_refused(tmp_path):
    small_data.wheel(tmp_path / "text.whl", {"a.json": b'{"A": {"extract": "short"}}'})
    made = data_text.Params(text=small_data.text_params(min_characters=100), member="a.json")
    with pytest.raises(ValueError, match=r"text\.whl: wiki_leads has no document that fits data\.text"):
        data_text.main(made, "wiki_leads", [tmp_path / "text.whl"], tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_the_command_line_of_a_rule(tmp_path, capsys):
    package = small_data.wheel(tmp_path / "kept/small-1.0-py3-none-any.whl", {"a": b"1"})
    wheel = tmp_path / "raw" / package.file
    arguments = ["--wheel", str(wheel), "--reuse", str(tmp_path / "kept")]
    stage.run(fetch.main, ["--params", package.model_dump_json(), *arguments])
    assert wheel.read_bytes() == (tmp_path / "kept" / package.file).read_bytes()
    with pytest.raises(SystemExit):
        stage.run(fetch.main, ["--params", package.model_dump_json().replace('"sha256"', '"sha1"'), *arguments])
    assert "sha1: unknown key; did you mean 'sha256'" in capsys.readouterr().err


def test_smoke_and_default_text_differ_only_in_size():
    root = Path(__file__).parents[3]
    whole, smoke = (params.read(root / name)["data"] for name in ("params.yaml", "params/smoke.yaml"))
    assert set(smoke["text"]["sources"]) == set(whole["text"]["sources"])
    assert set(smoke["text"]["out_of_domain"]) == set(whole["text"]["out_of_domain"])
