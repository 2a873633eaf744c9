"""Documents of a source in a person's own files, read as a stream."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tessera.data import chat_template, rows
from tessera.data.chat_template import ChatTemplate, Span
from tessera.data.params import OwnSource, TextParams
from tessera.data.split import capped, split


@dataclass(frozen=True)
class Document:
    """A document of a source."""

    title: str
    text: str
    split: str
    learnt: list[Span] | None = None
    """Of rendered messages, the characters that are learnt from; None for plain text."""
    compared: str | None = None
    """Of rendered messages, the words that must not be in training text as well: the assistant's, or all if there are
    none, since prompts repeat one another; None for plain text.
    """


def documents(
    source: str, files: Mapping[str, Path], params: TextParams, template: ChatTemplate | None = None
) -> Iterator[Document]:
    """Yield the documents of a source of your own, in the order of its files; template renders messages.

    As for the sources of packages, documents shorter than params.min_characters and repeated texts are left out; where
    there is more than the source's cap, those of the lowest hash are taken, for which the files are read twice. Raises
    ValueError, naming file, line and field, on what cannot be read.
    """
    own = params.every[source]
    assert isinstance(own, OwnSource)
    in_domain = source in params.sources
    chosen = None
    if own.characters is not None:
        sizes = {one.title: len(one.text) for one in _read(source, files, own, params, template)}
        chosen = set(capped(source, sizes, own.characters))
    for one in _read(source, files, own, params, template):
        if chosen is None or one.title in chosen:
            side = split(source, one.title, params.test_percent, params.valid_percent) if in_domain else "test"
            yield replace(one, split=side)


def _read(
    source: str, files: Mapping[str, Path], own: OwnSource, params: TextParams, template: ChatTemplate | None
) -> Iterator[Document]:
    """All documents that are long enough, each text once, whatever their split."""
    places: dict[str, str] = {}
    seen: set[bytes] = set()
    fields = [own.column] if own.title is None else [own.column, own.title]
    for name, path in files.items():
        if own.format == "messages" and rows.suffix(name) == ".txt":
            raise ValueError(f"{name}: a .txt file is one text; format: messages needs rows, such as those of a .jsonl")
        for place, row in rows.rows(path, name, fields):
            title = _title(row.get(own.title) if own.title else None, place, own.title)
            if title in places:
                raise ValueError(
                    f"{place}: {own.title} is {title!r}, as in {places[title]}; expected another for every "
                    f"document, or data.text.sources.{source}.title: null to name them by file and line"
                )
            places[title] = place
            for one in _cut(_document(title, row[own.column], own, template, place), own.cut):
                try:
                    digest = blake2b(one.text.encode(), digest_size=16).digest()
                except UnicodeEncodeError as error:
                    raise ValueError(
                        f"{place}: {own.column} has half a surrogate pair (character {error.start})"
                    ) from error
                if len(one.text) >= params.min_characters and digest not in seen:
                    seen.add(digest)
                    yield one


def _cut(one: Document, most: int | None) -> Iterator[Document]:
    """The document, or its pieces of at most `most` characters, TITLE#1, TITLE#2 and so on."""
    if most is None or len(one.text) <= most:
        yield one
        return
    for number, text in enumerate(pieces(one.text, most), 1):
        yield replace(one, title=f"{one.title}#{number}", text=text)


def pieces(text: str, most: int) -> Iterator[str]:
    """Cut a text into pieces of at most `most` characters, each at its last empty line, else line end, else blank.

    White space around the pieces is left out.
    """
    start = 0
    while start < len(text):
        part = text[start : start + most]
        if start + most < len(text):
            ends = (part.rfind(mark, 1) for mark in ("\n\n", "\n", " "))
            part = part[: next((end for end in ends if end > 0), most)]
        start += len(part)
        if part.strip():
            yield part.strip()


def _title(value: Any, place: str, field: str | None) -> str:
    if value is None or value == "":
        return place
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{place}: {field} is {value!r:.60}; expected text or an integer")
    return str(value)


def _document(title: str, value: Any, own: OwnSource, template: ChatTemplate | None, place: str) -> Document:
    """The document in a row's field, of no split yet."""
    if own.format == "text":
        if not isinstance(value, str):
            raise ValueError(f"{place}: {own.column} is {value!r:.60}; expected text")
        return Document(title, value.strip(), "")
    assert template is not None
    messages = chat_template.checked(value, place, own.column)
    text = template.render(messages, place)
    learnt = template.answers(messages, text, place) if own.loss == "answers" else [(0, len(text))]
    said = [one for one in messages if one["role"] == "assistant"] or messages
    return Document(title, text, "", learnt, "\n".join(one["content"] for one in said))
