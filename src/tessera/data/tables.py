"""The dataset tables: what is fetched, and what became of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tessera.common import markdown
from tessera.data.packages import Package
from tessera.data.tokens import SPLITS

if TYPE_CHECKING:
    import pandas as pd


def counts(documents: "pd.DataFrame", shared: "pd.Series") -> dict[str, Any]:
    """Return split -> source -> documents, characters, tokens, and sharing: documents that share text with training.

    documents has the columns source, split, characters and length (in tokens, without separators); shared holds the
    number of sharing documents by (split, source).
    """
    by_split: dict[str, Any] = {}
    for (split, source), group in documents.groupby(["split", "source"], sort=False):
        sums = {
            "documents": len(group),
            "characters": group["characters"].sum(),
            "tokens": group["length"].sum(),
            "sharing": shared.get((split, source), 0) if split != "train" else 0,
        }
        by_split.setdefault(str(split), {})[str(source)] = {key: int(value) for key, value in sums.items()}
    return by_split


def documents(counted: Mapping[str, Any]) -> str:
    """Return a Markdown table of what `counts` counted: one row per split and source, and a sum per split."""
    columns = ("documents", "characters", "tokens", "sharing")
    rows = []
    for split in (split for split in SPLITS if split in counted):
        # Sources in the order of the files' names: JSON, from which this is read again, sorts its keys.
        parts = dict(sorted(counted[split].items()))
        sums = {key: sum(part[key] for part in parts.values()) for key in columns}
        for source, part in [*parts.items(), ("**all**", sums)]:
            rows.append([split, source, *(f"{part[key]:,}" for key in columns)])
    return "\n".join(markdown.table(("split", "source", *columns), rows, text_columns=2))


def packages(pinned: Mapping[str, Package]) -> str:
    """Return a Markdown table of the pinned packages."""
    head = ("package", "version", "content used", "as", "licence of package", "of content", "file, sha256", "MB")
    rows = []
    for package in pinned.values():
        members = ", ".join(f"`{member}`" for member in package.members)
        text = [package.name, package.version, package.what, members, package.license, package.content]
        rows.append([*text, f"`{package.file}` `{package.sha256}`", f"{package.bytes / 1e6:.1f}"])
    return "\n".join(markdown.table(head, rows, text_columns=7)) + "\n"
