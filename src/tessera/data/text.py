"""Documents (title, text) of each source, out of the file of its package."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from tessera.data import packages, wikitext
from tessera.data.params import TextParams
from tessera.data.split import capped, split

Document = tuple[str, str]


def _mapping(content: bytes) -> dict[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__} where an object is expected")
    return value


def wiki_leads(path: str, content: bytes, params: TextParams) -> Iterator[Document]:
    """Opening sentences of Wikipedia articles."""
    for title, article in _mapping(content).items():
        yield title, article["extract"]


def wiki_articles(path: str, content: bytes, params: TextParams) -> Iterator[Document]:
    """Whole Wikipedia articles."""
    for title, source in wikitext.pages(content):
        yield title, wikitext.plain(source)


def speeches(path: str, content: bytes, params: TextParams) -> Iterator[Document]:
    """Presidential messages from params.first_year onward; the file's name is the title: 1967-Johnson-1."""
    title = Path(path).stem
    if int(title[:4]) >= params.first_year:
        yield title, re.sub(r" ?\[See APP Note\.?\]", "", content.decode())


def recipes(path: str, content: bytes, params: TextParams) -> Iterator[Document]:
    """Recipes as a question and its answer."""
    for recipe in _mapping(content).values():
        ingredients = "\n".join(f"- {one}" for one in recipe["ingredients"])
        steps = "\n".join(f"{i}. {step}" for i, step in enumerate(recipe["steps"], 1))
        question = f"Question: How do I make {recipe['title']}?"
        text = f"{question}\n\nAnswer: You need:\n{ingredients}\n\nSteps:\n{steps}"
        yield recipe["title"], text.replace(" ()", "")  # where a unit was a link


def chat(path: str, content: bytes, params: TextParams) -> Iterator[Document]:
    """Conversations of params.min_turns turns or more, a line a turn, the two people called A and B."""
    for title, conversation in _mapping(content).items():
        messages = [message for turn in conversation["messages"] for message in turn if message["text"].strip()]
        turns = [(sender, [m["text"].strip() for m in said]) for sender, said in groupby(messages, _sender)]
        if len(turns) >= params.min_turns:
            names = {sender: name for (sender, _), name in zip(turns, "AB", strict=False)}
            yield title, "\n".join(f"{names[sender]}: {' '.join(said)}" for sender, said in turns)


def _sender(message: dict[str, Any]) -> str:
    return message["sender"]


def schelling(path: str, content: bytes, params: TextParams) -> Iterator[Document]:
    """Paragraphs in their own order (key "0"), not the shuffled ones beside them; the line's number is the title."""
    for number, line in enumerate(content.decode().splitlines()):
        yield f"{Path(path).stem}:{number}", json.loads(line)["0"].strip()


READERS: dict[str, Callable[[str, bytes, TextParams], Iterator[Document]]] = {
    "wiki_leads": wiki_leads,
    "wiki_articles": wiki_articles,
    "speeches": speeches,
    "recipes": recipes,
    "chat": chat,
    "owt": schelling,
    "wikipedia_ood": schelling,
}


def documents(source: str, archive: str | Path, member: str, params: TextParams) -> list[tuple[str, str, str]]:
    """Return (title, text, split) of the documents of a source, in the order of the file.

    Documents shorter than params.min_characters and repeated texts are left out; where there is more than the source's
    cap, those of the lowest hash are taken. Raises ValueError, naming archive and member, where one cannot be read.
    """
    found: dict[str, str] = {}
    for path, content in packages.members(archive, member):
        try:
            for title, text in READERS[source](path, content, params):
                found[title] = text.strip()
        except (ValueError, KeyError, TypeError, OSError, EOFError, ParseError) as error:
            raise ValueError(f"{archive}: {path} is not what {source} is read from ({error!r})") from error
    first = {text: title for title, text in reversed(found.items())}
    found = {t: text for t, text in found.items() if len(text) >= params.min_characters and first[text] == t}
    in_domain = source in params.sources
    cap = params.every[source].characters
    kept = found
    if cap is not None:
        kept = {title: found[title] for title in capped(source, {t: len(text) for t, text in found.items()}, cap)}
    shares = params.test_percent, params.valid_percent
    return [(title, text, split(source, title, *shares) if in_domain else "test") for title, text in kept.items()]
