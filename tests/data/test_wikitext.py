"""Plain text out of wikitext and dumps."""

import bz2

import pytest

from tessera.data import wikitext

CASES = {
    "'''Bold''' and ''italic'' [[link|words]] of a [[page]].": "Bold and italic words of a page.",
    "One.<ref>A source.</ref> Two.<ref name=a /> Three.": "One. Two. Three.",
    "Left {{citation needed|date=2014}} out.": "Left out.",
    "It is {{convert|3|km|mi}} long.": "It is 3 km long.",
    "The {{lang|fr|''rue''}} and {{nowrap|10 m}}.": "The rue and 10 m.",
    "[[File:A.jpg|thumb|A ''caption'' with a [[link]].]]Text.": "Text.",
    "Text.\n[[Category:Things]]\n[[fr:Chose]]": "Text.",
    "2001: [[2001: A Space Odyssey]].": "2001: 2001: A Space Odyssey.",
    "{| class=wikitable\n! a\n|-\n| b\n|}\nText.": "Text.",
    "One &eacute; two&nbsp;three.": "One é two three.",
    "Name ({{IPA|x}}; {{lang-el|}}) is.": "Name is.",
    "[http://example.org A site] says.": "A site says.",
    "a<br />b": "a\n\nb",
    "Uses:\n* one\n* two\n** three\nEnd.": "Uses:\n\n- one\n- two\n- three\n\nEnd.",
    "<!-- hidden -->Shown.": "Shown.",
    "Unclosed <ref>never ends": "Unclosed",
}


@pytest.mark.parametrize("source", CASES)
def test_plain(source):
    assert wikitext.plain(source) == CASES[source]


def test_headings_stay_with_their_text_and_back_matter_goes():
    source = (
        "Lead.\n\n== First ==\nProse.\n\n== Empty ==\n{{chart}}\n\n== Outer ==\n=== Inner ===\nMore.\n"
        "=== Bare ===\n\n== See also ==\n* [[Link]]\n\n== References ==\n{{reflist}}"
    )
    assert wikitext.plain(source) == "Lead.\n\nFirst\n\nProse.\n\nOuter\n\nInner\n\nMore."


def test_pages_are_articles():
    page = "<page><title>{}</title><ns>{}</ns>{}<revision><text>{}</text></revision></page>"
    dump = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">'
        + page.format("A", 0, "", "Text of A.")
        + page.format("Talk:A", 1, "", "Talk.")
        + page.format("B", 0, '<redirect title="A" />', "#REDIRECT [[A]]")
        + page.format("C", 0, "", "C may be: {{disambiguation}}")
        + "</mediawiki>"
    )
    assert list(wikitext.pages(bz2.compress(dump.encode()))) == [("A", "Text of A.")]
