"""Outputs as Snakemake remembers them: its records, and the dates by which it judges.

Snakemake dates a symbolic link and not the file behind it. A hard link has no date of its own: whoever dates it also
dates what it is a link to, such as an object of DVC's cache.
"""

import json
import os
import shutil
from base64 import urlsafe_b64decode
from collections.abc import Collection, Iterable
from pathlib import Path

from tessera.common import files

METADATA = Path(".snakemake/metadata")
#: What Snakemake writes into an output that is a directory, to tell its age.
TIMESTAMP = ".snakemake_timestamp"


def records() -> dict[Path, Path]:
    """Map each output that Snakemake saw made to the file that holds its record."""
    found = {}
    for path in METADATA.rglob("*"):
        if path.is_file():
            # Long names are cut into directories marked by a leading @.
            key = "".join(part.removeprefix("@") for part in path.relative_to(METADATA).parts)
            found[Path(urlsafe_b64decode(key).decode())] = path
    return found


def unseen(files: Iterable[Path], seen: dict[Path, Path]) -> set[Path]:
    """Return those files that are not as Snakemake last saw them made.

    Snakemake records when an output was last modified; a directory's time is that of the timestamp within it, a
    symbolic link's is its own. No job makes a hard link, and it may be older than what it replaced.
    """

    def as_seen(path: Path) -> bool:
        if hard_linked(path):
            return False
        output = next((one for one in (path, *path.parents) if one in seen), None)
        if output is None:
            return False
        try:
            made = json.loads(seen[output].read_text())["endtime"]
        except (ValueError, KeyError):  # cut short by a kill
            return False
        if output == path:
            return abs(path.lstat().st_mtime - made) < 0.001
        stamp = output if output.is_symlink() else output / TIMESTAMP
        return stamp.exists() and abs(stamp.lstat().st_mtime - made) < 0.001 and path.lstat().st_mtime < made + 0.001

    return {path for path in files if not as_seen(path)}


def modified(path: Path) -> float:
    """When a file was last modified, or the symbolic link to it."""
    return max(path.stat().st_mtime, path.lstat().st_mtime) if path.exists() else 0.0


def hard_linked(path: Path) -> bool:
    """Whether a file has other names. No job makes one that has: DVC, or a person, has put it there."""
    return path.lstat().st_nlink > 1 and not path.is_dir()


def detach(paths: Iterable[Path]) -> None:
    """Put a copy that can be written in the place of each link."""
    for path in paths:
        with files.replacing(path) as hidden:
            shutil.copyfile(path, hidden)


def forget(path: Path, seen: dict[Path, Path], outs: Collection[Path] = ()) -> None:
    """Date a file to 1970 and drop its record, so that Snakemake makes it again.

    So are the directories around it that are in outs, for one of them may be the output that Snakemake knows.
    """
    output = next((one for one in (path, *path.parents) if one in seen), path)
    around = [one for one in path.parents if any(one.is_relative_to(out) for out in outs)]
    for one in (path, output, *around):
        for dated in (one, one / TIMESTAMP):
            if os.path.lexists(dated):
                os.utime(dated, (1, 1), follow_symlinks=False)
    if output in seen:
        seen[output].unlink(missing_ok=True)
