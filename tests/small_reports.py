"""The files that a study's report writes, in a test's directory."""

from tessera.common import run_files


def arguments(report, place):
    """The arguments of a report stage's main that name all items of its REPORT, in a directory."""
    kinds = {"texts": "md", "tables": "csv", "figures": "svg"}
    items = {
        kind: [place / f"{kind}/{name}.{suffix}" for name in getattr(report, kind)] for kind, suffix in kinds.items()
    }
    return items | {"metrics": place / "metrics.json", "runs": place / "runs.jsonl"}


def runs(place):
    """The runs that a report wrote, by name."""
    return {record.name: record for record in run_files.read(place / "runs.jsonl")}


def content(place):
    """The bytes of all files under a directory, by their place within it."""
    return {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}
