"""Which split a document falls in: by its title, so that it stays there whatever else is added or left out."""

import hashlib

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
