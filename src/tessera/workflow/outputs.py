"""What Snakemake remembers of outputs: its records, and the modification times that it compares.

Snakemake sets the time of a symbolic link, not of its target. A hard link has no time of its own: changing it also
changes that of the linked file, such as an object in DVC's cache.
"""

import json
import os
import shutil
from base64 import urlsafe_b64decode
from collections.abc import Collection, Iterable
from pathlib import Path

from tessera.common import files

METADATA = Path(".snakemake/metadata")
#: File that Snakemake writes into an output directory to mark its age.
TIMESTAMP = ".snakemake_timestamp"


def records() -> dict[Path, Path]:
    """Map each output that Snakemake has recorded to the file with its record."""
    recorded = {}
    for path in METADATA.rglob("*"):
        if path.is_file():
            # Long names are split into directories that begin with @.
            key = "".join(part.removeprefix("@") for part in path.relative_to(METADATA).parts)
            recorded[Path(urlsafe_b64decode(key).decode())] = path
    return recorded


def unseen(files: Iterable[Path], seen: dict[Path, Path]) -> set[Path]:
    """Return the files that differ from what Snakemake last recorded.

    Snakemake records when an output was last modified: for a directory, the time of the timestamp in it; for a symbolic
    link, that of the link. Hard links always count as different: no job makes them, and they may be older than the file
    that they replaced.
    """

    def as_seen(path: Path) -> bool:
        if hard_linked(path):
            return False
        output = next((parent for parent in (path, *path.parents) if parent in seen), None)
        if output is None:
            return False
        try:
            recorded = json.loads(seen[output].read_text())["endtime"]
        except (ValueError, KeyError):  # truncated when the run was killed
            return False
        if output == path:
            return abs(path.lstat().st_mtime - recorded) < 0.001
        stamp = output if output.is_symlink() else output / TIMESTAMP
        return (
            stamp.exists()
            and abs(stamp.lstat().st_mtime - recorded) < 0.001
            and path.lstat().st_mtime < recorded + 0.001
        )

    return {path for path in files if not as_seen(path)}


def modified(path: Path) -> float:
    """When a file, or the symbolic link to it, was last modified; 0 if it does not exist."""
    return max(path.stat().st_mtime, path.lstat().st_mtime) if path.exists() else 0.0


def hard_linked(path: Path) -> bool:
    """Whether a file has other names. No job makes such files: they come from DVC or from a person."""
    return path.lstat().st_nlink > 1 and not path.is_dir()


def detach(paths: Iterable[Path]) -> None:
    """Replace each link by a writable copy."""
    for path in paths:
        with files.replacing(path) as hidden:
            shutil.copyfile(path, hidden)


def forget(path: Path, seen: dict[Path, Path], outs: Collection[Path] = ()) -> None:
    """Set a file's time to 1970 and delete its record, so that Snakemake makes it again.

    The same goes for directories around it that are in outs: one of them may be the output that Snakemake recorded.
    """
    output = next((parent for parent in (path, *path.parents) if parent in seen), path)
    around = [parent for parent in path.parents if any(parent.is_relative_to(out) for out in outs)]
    for item in (path, output, *around):
        for dated in (item, item / TIMESTAMP):
            if os.path.lexists(dated):
                os.utime(dated, (1, 1), follow_symlinks=False)
    if output in seen:
        seen[output].unlink(missing_ok=True)
