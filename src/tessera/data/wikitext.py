"""Plain text of Wikipedia pages: out of a dump's XML, and out of wikitext."""

import bz2
import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import mwparserfromhell
from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Node, Tag, Template, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

#: Sections from which on there are only lists of links and works.
BACK_MATTER = {
    "see also",
    "references",
    "notes",
    "footnotes",
    "citations",
    "sources",
    "bibliography",
    "further reading",
    "external links",
    "notes and references",
    "references and notes",
    "works cited",
}
#: Templates whose text belongs to the sentence: which of their positional values, joined by a space.
INLINE = {
    "convert": ("1", "2"),
    "cvt": ("1", "2"),
    "lang": ("2",),
    "nowrap": ("1",),
    "nobr": ("1",),
    "val": ("1",),
    "num": ("1",),
    "transl": ("2",),
    "sic": ("1",),
    "chem": ("1", "2", "3", "4", "5", "6"),
    "circa": ("1",),
}
DROPPED_TAGS = {"ref", "references", "table", "gallery", "math", "timeline", "imagemap", "score", "syntaxhighlight"}
PROSE = 7  # deeper than any heading
MARKS = {"br": "\n", "hr": "\n", "li": "- "}  # li: a star or number sign at the beginning of a line
DISAMBIGUATION = re.compile(r"\{\{\s*(disambig|disambiguation|dab|hndis|geodis|numberdis|letter.?disambig)\b", re.I)


def pages(dump: bytes) -> Iterator[tuple[str, str]]:
    """Yield (title, wikitext) of the articles of a compressed dump; neither redirects nor disambiguation pages.

    Raises OSError where the compression and ElementTree.ParseError where the XML is damaged.
    """
    for _, page in ElementTree.iterparse(io.BytesIO(bz2.decompress(dump))):
        if page.tag.endswith("}page"):
            title, namespace, text = (page.findtext(f".//{{*}}{name}") or "" for name in ("title", "ns", "text"))
            article = namespace == "0" and page.find("{*}redirect") is None and not text.lower().startswith("#redirect")
            if article and not DISAMBIGUATION.search(text):
                yield title, text
            page.clear()


def plain(wikitext: str) -> str:
    """Return the prose and headings of wikitext, set apart by empty lines.

    Tables, references, images, categories, most templates and the back matter are left out; a sentence keeps the
    values of the templates in INLINE.
    """
    text = ""
    for node in mwparserfromhell.parse(wikitext).nodes:
        if isinstance(node, Heading) and node.level == 2 and str(node.title).strip().lower() in BACK_MATTER:
            break
        text += _text(node)
    return _tidy(text)


def _all(code: Wikicode | None) -> str:
    return "".join(_text(node) for node in code.nodes) if code else ""


def _text(node: Node) -> str:
    """Plain text of one node, empty where it is not prose."""
    if isinstance(node, Text):
        return node.value
    if isinstance(node, HTMLEntity):
        return node.normalize()
    if isinstance(node, Heading):
        return f"\n\n{'=' * node.level} {_all(node.title).strip()}\n\n"
    if isinstance(node, ExternalLink):
        return _all(node.title)
    if isinstance(node, Wikilink):
        # A colon without a blank after it: an image, a category, or the same page in another language.
        elsewhere = re.match(r"(file|image|category|media|[a-z-]{2,12}):\S", str(node.title).strip().lower())
        return "" if elsewhere else _all(node.title if node.text is None else node.text)
    if isinstance(node, Tag):
        kind = str(node.tag).lower()
        if kind in MARKS:
            return MARKS[kind]
        return "" if kind in DROPPED_TAGS else _all(node.contents)
    if isinstance(node, Template):
        name = str(node.name).strip().lower()
        wanted = INLINE.get(name, ("1",) if name.startswith("lang-") else ())
        return " ".join(_all(node.get(key).value).strip() for key in wanted if node.has(key))
    return ""  # comments and a template's own arguments


def _tidy(text: str) -> str:
    """Mend what removed parts leave behind: empty brackets and sections, spaces before commas, runs of blanks.

    Markup that its author did not close, and which is therefore still there, goes line by line.
    """
    text = re.sub(r"<ref[^>]*>.*?(</ref>|$)", "", text.replace("\xa0", " "), flags=re.M)
    text = re.sub(r"^\s*([|!]|\{\||\[\[|\{\{|(thumb|left|right)\|).*$", "", text, flags=re.M)
    text = re.sub(r"\(\s*(?:[,;:]|or\b|and\b|\s)*\)", "", text)
    text = re.sub(r"\(\s*([,;]\s*)*", "(", text)
    text = re.sub(r"(?<=[,;])(\s*,)+", "", text)
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r" ([,.;:)])", r"\1", text)
    lines = [re.sub(r"^(- )+", "- ", line.strip().lstrip("*#:; ")) for line in text.split("\n")]
    return _without_empty_sections([line for line in lines if line.strip("- ")])


def _without_empty_sections(lines: list[str]) -> str:
    """Join lines; a heading, marked by as many = as it is deep, stays where prose or a deeper heading follows."""
    kept: list[str] = []
    deepest_follower = 0
    for line in reversed(lines):
        depth = len(line) - len(line.lstrip("="))
        if depth == 0 or depth < deepest_follower or deepest_follower == PROSE:
            kept.append(line.lstrip("= "))
            deepest_follower = depth or PROSE
    return re.sub(r"(?<=\n)(- .*\n)\n(?=- )", r"\1", "\n\n".join(reversed(kept)))
