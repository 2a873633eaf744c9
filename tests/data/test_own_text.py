"""Documents of a person's own files: what is taken, under which name, and what is said of rows that do not fit."""

import json
import re

import pytest
import small_data

from tessera.common import files
from tessera.data import own_text
from tessera.data.chat_template import ChatTemplate
from tessera.data.split import split

TALK = [{"role": "user", "content": "hello?"}, {"role": "assistant", "content": "hello, hello"}]


@pytest.fixture(scope="module")
def chat_parent(tmp_path_factory):
    directory = tmp_path_factory.mktemp("parent")
    small_data.write_parent(directory)
    return directory


@pytest.fixture(scope="module")
def template(chat_parent):
    return ChatTemplate(chat_parent)


def documents(tmp_path, rows, template=None, min_characters=1, place="sources", **own):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = small_data.text_params().model_dump(mode="json")
    text |= {"min_characters": min_characters}
    text[place] = text[place] | {"mine": {"files": ["a.jsonl"]} | own}
    params = small_data.TextParams.model_validate_json(json.dumps(text))
    return list(own_text.documents("mine", {"a.jsonl": tmp_path / "a.jsonl"}, params, template))


def test_titles_and_splits(tmp_path):
    found = documents(tmp_path, [{"text": " one \n"}, {"text": "two", "title": "T"}, {"text": "three", "title": 3}])
    assert [(one.title, one.text) for one in found] == [("a.jsonl:1", "one"), ("T", "two"), ("3", "three")]
    assert [one.split for one in found] == [split("mine", one.title, 5, 5) for one in found]
    assert all(one.learnt is None and one.compared is None for one in found)


def test_other_fields_of_text_and_title(tmp_path):
    rows = [{"body": "one", "id": 7, "title": 1.5}]
    [found] = documents(tmp_path, rows, field="body", title="id")
    assert (found.title, found.text) == ("7", "one")
    [found] = documents(tmp_path, rows, field="body", title=None)
    assert found.title == "a.jsonl:1"


def test_text_that_is_only_evaluated_on(tmp_path):
    found = documents(tmp_path, [{"text": f"{i}"} for i in range(50)], place="out_of_domain")
    assert {one.split for one in found} == {"test"}


def test_short_and_repeated_texts_are_left_out(tmp_path):
    found = documents(tmp_path, [{"text": one} for one in ("long", "a", "long ", "longer")], min_characters=3)
    assert [one.title for one in found] == ["a.jsonl:1", "a.jsonl:4"]


def test_a_cap_takes_a_sample_that_a_larger_cap_has_as_well(tmp_path):
    rows = [{"text": f"{i:010d}"} for i in range(50)]
    some, more = (documents(tmp_path, rows, characters=cap) for cap in (105, 205))
    assert len(some) == 10 and len(more) == 20
    assert {one.title for one in some} < {one.title for one in more}
    assert [one.text for one in some] == sorted(one.text for one in some), "in the order of the file"
    assert len(documents(tmp_path, rows)) == 50


def test_documents_are_read_one_at_a_time(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\nno JSON')
    params = small_data.text_params(sources={"mine": {"files": ["a.jsonl"]}})
    found = own_text.documents("mine", {"a.jsonl": path}, params)
    assert next(found).text == "one"
    with pytest.raises(ValueError, match=r"a\.jsonl:2: not JSON"):
        next(found)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": 3}, "a.jsonl:2: text is 3; expected text"),
        ({"text": ["a"]}, "a.jsonl:2: text is ['a']; expected text"),
        ({"text": "b", "title": 1.5}, "a.jsonl:2: title is 1.5; expected text or an integer"),
        ({"text": "b", "title": True}, "a.jsonl:2: title is True; expected text or an integer"),
        ({"text": "\ud800"}, "a.jsonl:2: text has half a surrogate pair (character 0)"),
        (
            {"text": "b", "title": "T"},
            "a.jsonl:2: title is 'T', as in a.jsonl:1; expected another for every document, or "
            "data.text.sources.mine.title: null to name them by file and line",
        ),
    ],
)
def test_faults_are_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        documents(tmp_path, [{"text": "a", "title": "T"}, row])


def test_messages_are_rendered_and_all_is_learnt(tmp_path, template):
    [found] = documents(tmp_path, [{"messages": TALK, "title": "T"}], template, format="messages")
    assert found.text == ("<|im_start|>user\nhello?<|im_end|>\n<|im_start|>assistant\nhello, hello<|im_end|>\n")
    assert found.learnt == [(0, len(found.text))]
    assert found.compared == "hello, hello", "prompts repeat one another, answers should not"


def test_answers_are_found_in_the_text(tmp_path, template):
    rows = [{"talk": [{"role": "system", "content": "be"}, *TALK, TALK[0], {"role": "assistant", "content": " x\n"}]}]
    [found] = documents(tmp_path, rows, template, format="messages", field="talk", loss="answers")
    assert [found.text[slice(*span)] for span in found.learnt] == ["hello, hello<|im_end|>", " x\n<|im_end|>"]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("hello", "messages is 'hello'; expected a list of messages"),
        ([], "messages is []; expected a list of messages"),
        (["hello"], "messages.0.role is 'hello'; expected text"),
        ([{"role": "user"}], "messages.0.content is None; expected text"),
        ([TALK[0], {"role": "assistant", "content": ["x"]}], "messages.1.content is ['x']; expected text"),
        ([TALK[1]], "messages begin with the assistant's; loss: answers needs one before it"),
        ([TALK[0]], "has no message of the assistant, which loss: answers learns from"),
    ],
)
def test_faults_of_messages_are_named(tmp_path, template, messages, message):
    with pytest.raises(ValueError, match=re.escape(f"a.jsonl:1: {message}")):
        documents(tmp_path, [{"messages": messages}], template, format="messages", loss="answers")


def with_template(chat_parent, tmp_path, text):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((chat_parent / name).read_bytes())
    config = files.read_json(tmp_path / "tokenizer_config.json")
    files.write_json(tmp_path / "tokenizer_config.json", config | {"chat_template": text})
    return tmp_path


def test_what_a_template_refuses_is_named(tmp_path, chat_parent):
    refusing = ChatTemplate(with_template(chat_parent, tmp_path, "{{ raise_exception('no such role') }}"))
    with pytest.raises(ValueError, match=r"a\.jsonl:1: the parent's chat template does not take the messages"):
        documents(tmp_path, [{"messages": TALK}], refusing, format="messages")


def test_a_template_that_changes_what_went_before(tmp_path, chat_parent):
    counting = ChatTemplate(with_template(chat_parent, tmp_path, "{{ messages | length }}" + small_data.CHAT))
    with pytest.raises(ValueError, match=r"a\.jsonl:1: the parent's chat template changes messages 0 to 1 once others"):
        documents(tmp_path, [{"messages": TALK}], counting, format="messages", loss="answers")
    assert documents(tmp_path, [{"messages": TALK}], counting, format="messages")[0].text.startswith("2<|im_start|>")


def test_a_parent_without_a_template(tmp_path, chat_parent):
    with pytest.raises(ValueError, match=r"tokenizer_config\.json: has no chat_template; format: messages"):
        ChatTemplate(with_template(chat_parent, tmp_path, None))


def test_a_text_file_holds_no_messages(tmp_path, template):
    (tmp_path / "a.txt").write_text("hello")
    params = small_data.text_params(sources={"mine": {"files": ["a.txt"], "format": "messages"}})
    with pytest.raises(ValueError, match=r"a\.txt: a \.txt file is one text; format: messages needs rows"):
        list(own_text.documents("mine", {"a.txt": tmp_path / "a.txt"}, params, template))


def test_long_texts_are_cut_between_paragraphs(tmp_path):
    text = "\n\n".join(f"paragraph {i}, " + "word " * 5 for i in range(12))
    found = documents(tmp_path, [{"text": text, "title": "book"}, {"text": "short"}], cut=100)
    assert [one.title for one in found] == [*(f"book#{n}" for n in range(1, len(found))), "a.jsonl:2"]
    assert all(len(one.text) <= 100 and one.text.startswith("paragraph") for one in found[:-1])
    assert "".join(" ".join(one.text for one in found[:-1]).split()) == "".join(text.split())
    assert len({one.split for one in documents(tmp_path, [{"text": "\n".join(map(str, range(999)))}], cut=40)}) == 3


@pytest.mark.parametrize("text", ["x" * 25, "one two three four", "a\nb\nc d e f g h", " ", "exactly 10"])
def test_no_piece_is_longer_than_asked_and_nothing_is_lost(text):
    pieces = list(own_text.pieces(text, 10))
    assert all(0 < len(piece) <= 10 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_messages_are_not_cut(tmp_path):
    with pytest.raises(ValueError, match="cut = 9 with format = 'messages'"):
        documents(tmp_path, [{"messages": TALK}], format="messages", cut=9)
