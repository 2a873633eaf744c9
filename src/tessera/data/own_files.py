"""Which files a source or set of your own is in."""

import fnmatch
import glob
import os
from collections.abc import Iterable
from pathlib import Path

from tessera.data import rows
from tessera.data.params import HUB

#: Files of a data set of the hub that are read if no pattern says which.
OF_HUB = ("*.parquet", "*.jsonl", "*.jsonl.gz", "*.jsonl.zst")


def expanded(entries: Iterable[str], root: str | Path, key: str) -> list[str]:
    """Return the files that paths and patterns name, in their order and sorted by name within each, every one once.

    Relative ones are below root; what is there is returned relative to the working directory, anything else absolute.
    Entries of the hub name no files here. Raises ValueError, naming key and entry, if one matches no file, or a file
    that is not of a kind that is read.
    """
    found: list[Path] = []
    for entry in entries:
        if HUB.fullmatch(entry):
            continue
        place = Path(root, os.path.expanduser(entry))  # noqa: PTH111
        if place.is_dir():
            matches = _saved(place, entry, key)
        elif place.is_file():
            matches = [place]
        else:
            paths = (Path(match) for match in sorted(glob.glob(str(place), recursive=True)))  # noqa: PTH207
            matches = [path for path in paths if path.is_file()]
        if not matches:
            raise ValueError(f"{key}: {entry!r} matches no file; relative paths begin in {Path(root).resolve()}")
        for path in matches:
            try:
                rows.suffix(path.name)
            except ValueError as error:
                raise ValueError(f"{key}: {entry!r}: {error}") from None
        found += matches
    return list(dict.fromkeys(_shown(path, root) for path in found))


def _saved(directory: Path, entry: str, key: str) -> list[Path]:
    """Files of a data set that the datasets library saved."""
    if (directory / "state.json").is_file():
        return sorted(directory.glob("*.arrow"))
    splits = sorted(path.parent.name for path in directory.glob("*/state.json"))
    instead = f"{entry}/*.jsonl or the like"
    if splits:
        instead = f"one of its splits, {', '.join(f'{entry}/{name}' for name in splits)}"
    raise ValueError(f"{key}: {entry!r} is a directory without state.json of a saved data set; expected {instead}")


def _shown(path: Path, root: str | Path) -> str:
    # Not Path.resolve, here and below: it would follow links to other names.
    path = Path(os.path.abspath(path))  # noqa: PTH100
    return os.path.relpath(path) if path.is_relative_to(os.path.abspath(root)) else str(path)  # noqa: PTH100


def named(files: Iterable[Path], root: str | Path) -> dict[str, Path]:
    """Return files by the names that errors and documents have of them: relative to root for those below it."""
    base = os.path.abspath(root)  # noqa: PTH100
    paths = [Path(os.path.abspath(path)) for path in files]  # noqa: PTH100
    return {(path.relative_to(base) if path.is_relative_to(base) else path).as_posix(): path for path in paths}


def of_hub(entries: Iterable[str]) -> dict[str, Path]:
    """Return the files of the entries hf:OWNER/NAME@COMMIT[/PATTERN] by name, downloaded unless they are in its cache.

    Raises OSError, naming the entry, if they cannot be downloaded, and ValueError if there are none.
    """
    found: dict[str, Path] = {}
    for entry in entries:
        if not (parts := HUB.fullmatch(entry)):
            continue
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        repository, patterns = parts["repository"], [parts["pattern"]] if parts["pattern"] else [*OF_HUB]
        try:
            snapshot = Path(
                snapshot_download(repository, repo_type="dataset", revision=parts["commit"], allow_patterns=patterns)
            )
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            reason = " ".join(str(error).split())
            raise OSError(
                f"{entry}: cannot be downloaded from the Hugging Face hub; it needs a network ({reason})"
            ) from error
        names = sorted(path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file())
        chosen = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
        if not chosen:
            raise ValueError(f"{entry}: the data set has no file like {', '.join(patterns)}")
        found |= {f"hf:{repository}/{name}": snapshot / name for name in chosen}
    return found
