"""Which documents are taken and in which split, both by title, so that neither depends on what else there is."""

import hashlib
from collections.abc import Mapping

SPLITS = ("train", "valid", "test")

#: Sources that hold texts of one title in parts: a lead and its article must fall on the same side.
FAMILY = {"wiki_leads": "wiki", "wiki_articles": "wiki"}


def digest(*parts: str) -> int:
    """Integer hash of some texts, the same on every machine; uniform in 0 to 2^256 - 1."""
    return int.from_bytes(hashlib.sha256("|".join(parts).encode()).digest())


def split(source: str, title: str, test_percent: int, valid_percent: int) -> str:
    """Return "test" where sha256(source | title) % 100 is below test_percent, "valid" below the sum, else "train"."""
    percentile = digest(FAMILY.get(source, source), title) % 100
    if percentile < test_percent:
        return "test"
    return "valid" if percentile < test_percent + valid_percent else "train"


def capped(source: str, sizes: Mapping[str, int], cap: int) -> list[str]:
    """Return the titles of a sample of at most cap characters, in their order: the same whatever the split or the rest.

    sizes are characters by title.
    """
    chosen, total = set(), 0
    for title in sorted(sizes, key=lambda title: digest("sample", source, title)):
        if total + sizes[title] <= cap:
            chosen.add(title)
            total += sizes[title]
    return [title for title in sizes if title in chosen]
