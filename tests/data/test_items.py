"""Items of every set: how records become items, what is drawn of them, and the archive that is kept in git."""

import json
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_data import wheel

from tessera.data import items, packages, task_archive
from tessera.data.items import SETS, Item
from tessera.data.params import OwnItems

ARCHIVE = "data/tasks/bigbench.zip"
#: Items of a set that its file has by our readers, as counted when the archive was made.
COUNTS = {
    "agreement_simple": 600,
    "agreement_nounpp": 2400,
    "agreement_linzen": 499,
    "agreement_nonce": 5600,
    "goal_inference": 1703,
    "step_inference": 2250,
    "timedial": 2549,
    "discourse_marker": 857,
    "general_knowledge": 69,
    "phrase_relatedness": 100,
    "similarities": 76,
    "cause_and_effect": 51,
}


@pytest.mark.parametrize("name", COUNTS)
def test_items_of_the_kept_archive(repository, name):
    found = list(items.read(name, repository / ARCHIVE))
    assert len(found) == COUNTS[name]
    for item in found:
        assert 0 <= item.answer < len(item.choices) == len(set(item.choices)) and item.chance <= 0.5
        assert not item.prompt.endswith(" ")
        assert all(choice.startswith(" ") == bool(item.prompt) and choice.strip() for choice in item.choices)


def test_the_kept_archive_has_the_notice_and_the_canary(repository):
    with zipfile.ZipFile(repository / ARCHIVE) as opened:
        names = opened.namelist()
        assert opened.read("NOTICE").decode() == task_archive.NOTICE
        wanted = {one.member for one in SETS.values() if one.source == "bigbench"}
        assert set(names) == wanted | {"NOTICE"}
        assert all("canary GUID" in opened.read(name).decode() for name in wanted)


SCORES = {"right ": 1, "wrong": 0}
RECORDS = [
    (items.continued, {"input": "It is ", "target_scores": SCORES}, Item("It is", (" right", " wrong"), 0)),
    (items.continued, {"input": "", "target_scores": SCORES}, Item("", ("right", "wrong"), 0)),
    (items.continued, {"input": "x", "target_scores": {"a": 1, "b": 1}}, None),
    (items.continued, {"input": "x", "target_scores": {"a": 1, "a ": 0}}, None),
    (
        items.adjectives,
        {"input": 'Which is it: a " old red car " b " red old car " ?', "target_scores": {"a": 0, "b": 1}},
        Item("I have a", (" old red car.", " red old car."), 1),
    ),
    (items.adjectives, {"input": "Which?", "target_scores": {"a": 0, "b": 1}}, None),
    (
        items.dialogue,
        {"input": "Which phrase? Context:\nA: At <MASK> sharp.", "target_scores": {"six ": 1, "noon": 0}},
        Item("A: At", (" six sharp.", " noon sharp."), 0),
    ),
    (items.dialogue, {"input": "Context: no gap", "target_scores": SCORES}, None),
    (
        items.lettered,
        {"question": "Why?\nA. x\nB. y z\nC. w\nD. v\nAnswer:", "answer": "B"},
        Item("Question: Why?\nAnswer:", (" x", " y z", " w", " v"), 1),
    ),
    (items.lettered, {"question": "Why?\nA. x\nB. x\nC. w\nD. v\nAnswer:", "answer": "B"}, None),
    (
        items.answered,
        {"input": "How?", "target_scores": SCORES},
        Item("Question: How?\nAnswer:", (" right", " wrong"), 0),
    ),
]


@pytest.mark.parametrize(("read", "record", "expected"), RECORDS)
def test_records_become_items(read, record, expected):
    assert read(record) == expected


@given(few=st.integers(1, 60), more=st.integers(0, 60), seed=st.integers(0, 9))
def test_fewer_items_are_the_first_of_more(repository, few, more, seed):
    some, all_ = (items.sample("cause_and_effect", repository / ARCHIVE, n, 150, seed) for n in (few, few + more))
    assert all_[: len(some)] == some and all(item.characters <= 150 for item in all_)


def test_faults_are_named(tmp_path, repository):
    member = SETS["cause_and_effect"].member
    wheel(tmp_path / "a.whl", {member: json.dumps({"examples": [{"input": 1}]}).encode()})
    with pytest.raises(ValueError, match=r"a\.whl: .*one_sentence.* is not what cause_and_effect is read from"):
        list(items.read("cause_and_effect", tmp_path / "a.whl"))
    with pytest.raises(ValueError, match="cause_and_effect has no item of at most 3 characters"):
        items.sample("cause_and_effect", repository / ARCHIVE, 5, 3, 0)


def sdist(path, names):
    with tarfile.open(path, "w:gz") as made:
        for name in names:
            (path.parent / "one").write_text(name)
            made.add(path.parent / "one", task_archive.ROOT + name)
    return path


def test_archive_is_made_of_the_pinned_distribution(tmp_path, monkeypatch, repository):
    names = sorted({one.member for one in SETS.values() if one.source == "bigbench"})
    made = sdist(tmp_path / "all.tar.gz", [*names, "setup.py"])
    with pytest.raises(ValueError, match="valid is 1bb398a5"):
        task_archive.main(made, tmp_path / "a.zip")
    monkeypatch.setattr(task_archive, "SHA256", packages.sha256(made))
    for name in ("a.zip", "b.zip"):
        task_archive.main(made, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert dict(packages.members(tmp_path / "a.zip", "bigbench/*")) == {name: name.encode() for name in names}
    few = sdist(tmp_path / "few.tar.gz", names[1:])
    monkeypatch.setattr(task_archive, "SHA256", packages.sha256(few))
    with pytest.raises(ValueError, match=f"has no {names[0]}"):
        task_archive.main(few, tmp_path / "c.zip")


def own(tmp_path, *rows, seed=0, **settings):
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own_items = OwnItems(files=["mine.jsonl"], **settings)
    return items.own("mine", {"mine.jsonl": tmp_path / "mine.jsonl"}, own_items, 80, seed)


def test_items_of_your_own(tmp_path):
    rows = [{"prompt": f"{i} + {i} =", "choices": [str(2 * i), "none"], "answer": 0} for i in range(1, 9)]
    rows += [rows[0], {"prompt": "long " * 40, "choices": ["a", "b"], "answer": 1}]
    found = own(tmp_path, *rows)
    assert len(found) == 8 and set(found) == {Item(f"{i} + {i} =", (f" {2 * i}", " none"), 0) for i in range(1, 9)}
    assert own(tmp_path, *rows, items=5) == found[:5]
    assert own(tmp_path, *rows, seed=1) != found


@pytest.mark.parametrize(
    ("prompt", "choices", "texts", "join"),
    [
        ("a", ["b", " c"], (" b", " c"), " "),
        ("a ", ["b", "c"], (" b", " c"), " "),
        ("a\n", ["b", "c"], ("\nb", "\nc"), " "),
        ("", ["b", "c"], ("b", "c"), " "),
        ("一", ["二", "三"], ("二", "三"), ""),
    ],
)
def test_what_stands_between_prompt_and_choice(tmp_path, prompt, choices, texts, join):
    [found] = own(tmp_path, {"prompt": prompt, "choices": choices, "answer": 1}, join=join)
    assert found == Item(prompt.strip(), texts, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": 3}, "prompt is 3; expected text"),
        ({"prompt": None}, "has no field 'prompt'; it has choices, answer"),
        ({"choices": ["a"]}, r"choices is \['a'\]; expected a list of two or more different texts"),
        ({"choices": ["a", "a"]}, r"choices is \['a', 'a'\]; expected a list"),
        ({"choices": ["a", " "]}, r"choices is \['a', ' '\]; expected a list"),
        ({"choices": "ab"}, "choices is 'ab'; expected a list"),
        ({"choices": None}, "choices is None; expected a list"),
        ({"answer": 2}, "answer is 2; expected the index of a choice, 0 to 1"),
        ({"answer": -1}, "answer is -1; expected the index"),
        ({"answer": "a"}, "answer is 'a'; expected the index"),
        ({"answer": True}, "answer is True; expected the index"),
    ],
)
def test_rows_that_are_no_items_are_named(tmp_path, changes, message):
    right = {"prompt": "p", "choices": ["a", "b"], "answer": 0}
    with pytest.raises(ValueError, match=rf"^mine\.jsonl:2: {message}"):
        own(tmp_path, right, right | changes)


def test_a_set_of_your_own_without_a_short_item(tmp_path):
    with pytest.raises(ValueError, match=r"mine\.jsonl: mine has no item of at most 80 characters"):
        own(tmp_path, {"prompt": "p" * 80, "choices": ["a", "b"], "answer": 0})
