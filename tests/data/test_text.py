"""Documents of each source."""

import bz2
import json

import pytest
import small_data

from tessera.common import params as parameters
from tessera.data import packages, text
from tessera.data.split import split


def documents(tmp_path, source, contents, member="*", **changes):
    small_data.wheel(tmp_path / "a.whl", contents)
    return text.documents(source, tmp_path / "a.whl", member, small_data.text_params(**changes))


def leads(**extracts):
    return {"a.json": json.dumps({title: {"title": title, "extract": one} for title, one in extracts.items()}).encode()}


def test_leads_with_their_split(tmp_path):
    found = documents(tmp_path, "wiki_leads", leads(Ant="Ants are insects.", Bee="Bees are too."))
    assert found == [
        ("Ant", "Ants are insects.", split("wiki_leads", "Ant", 5, 5)),
        ("Bee", "Bees are too.", split("wiki_leads", "Bee", 5, 5)),
    ]


def test_short_and_repeated_texts_are_left_out(tmp_path):
    found = documents(tmp_path, "wiki_leads", leads(A="long enough", B="short", C="long enough"), min_characters=6)
    assert [title for title, *_ in found] == ["A"]


def test_a_cap_takes_a_sample_that_does_not_depend_on_the_split(tmp_path):
    contents = leads(**{f"title {i}": f"{i:010d}" for i in range(50)})
    cap = {"wiki_leads": {"characters": 105}}
    some = documents(tmp_path, "wiki_leads", contents, sources=cap)
    assert len(some) == 10
    titles = [title for title, *_ in some]
    assert titles == sorted(titles, key=lambda title: int(title.split()[1])), "in the order of the file"
    other = documents(
        tmp_path, "wiki_leads", contents, sources={"wiki_leads": {"characters": 105}}, test_percent=50, valid_percent=40
    )
    assert [title for title, *_ in other] == titles
    more = documents(tmp_path, "wiki_leads", contents, sources={"wiki_leads": {"characters": 205}})
    assert set(titles) < {title for title, *_ in more}


def test_speeches_from_a_year_on(tmp_path):
    contents = {"s/1899-X-1.txt": b"Old.", "s/1900-Y-2.txt": "New, caf\u00e9. [See APP Note.] Yes.\n".encode()}
    [(title, content, _)] = documents(tmp_path, "speeches", contents, "s/*.txt")
    assert (title, content) == ("1900-Y-2", "New, café. Yes.")


def test_recipes_are_questions_and_answers(tmp_path):
    recipe = {"title": "Toast", "ingredients": ["1 slice () bread"], "steps": ["Toast it.", "Eat."]}
    [(_, content, _)] = documents(tmp_path, "recipes", {"r.json": json.dumps({"Cookbook:Toast": recipe}).encode()})
    assert content == (
        "Question: How do I make Toast?\n\nAnswer: You need:\n- 1 slice bread\n\nSteps:\n1. Toast it.\n2. Eat."
    )


def test_conversations_by_turns(tmp_path):
    def turn(sender, *texts):
        return [{"text": one, "timestamp": "", "sender": sender} for one in texts]

    talk = [turn("p", "Hi", "there"), turn("q", "Hello "), turn("q", "you"), turn("p", " "), turn("p", "Bye")]
    contents = {"d.json": json.dumps({"long": {"messages": talk}, "short": {"messages": talk[:1]}}).encode()}
    [(title, content, _)] = documents(tmp_path, "chat", contents, min_turns=3)
    assert (title, content) == ("long", "A: Hi there\nB: Hello you\nA: Bye")


def test_out_of_domain_paragraphs_are_in_order_and_all_test(tmp_path):
    lines = "\n".join(json.dumps({"0": f"In order {i}.", "1": "order In"}) for i in range(20))
    found = documents(tmp_path, "owt", {"e/owt_5.jsonl": lines.encode()})
    assert [one for _, one, _ in found] == [f"In order {i}." for i in range(20)]
    assert {side for *_, side in found} == {"test"} and found[3][0] == "owt_5:3"


def test_articles_out_of_a_dump(tmp_path):
    page = "<page><title>A</title><ns>0</ns><revision><text>'''A''' is.</text></revision></page>"
    dump = bz2.compress(f'<mediawiki xmlns="x">{page}</mediawiki>'.encode())
    [(title, content, _)] = documents(tmp_path, "wiki_articles", {"a.bz2": dump})
    assert (title, content) == ("A", "A is.")


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("wiki_leads", b'{"A": {"title": "A", "extr'),
        ("wiki_leads", b'{"A": {"title": "A"}}'),
        ("recipes", b'[{"title": "Toast"}]'),
        ("owt", b'{"1": "no key 0"}'),
        ("speeches", b"\xff\xfe\x00"),
        ("wiki_articles", b"not bz2"),
        ("wiki_articles", bz2.compress(b"<mediawiki><page>")),
        ("wiki_articles", bz2.compress(b"<mediawiki/>" * 9)[:40]),
    ],
)
def test_damaged_members_are_named(tmp_path, source, content):
    with pytest.raises(ValueError, match=f"a.whl: 1950.txt is not what {source} is read from"):
        documents(tmp_path, source, {"1950.txt": content})


def test_every_text_is_pinned_and_every_source_of_the_parameters_has_a_reader():
    from test_packages import PINS

    members = {member for package in packages.read(PINS).values() for member in package.members}
    assert set(text.READERS) <= members
    chosen = parameters.read(PINS.parents[1] / "params.yaml")["data"]["text"]
    assert {*chosen["sources"], *chosen["out_of_domain"]} == set(text.READERS)
