"""Which figures and tables a stage of the report can make."""

from collections.abc import Iterable
from pathlib import Path


def check(flag: str, paths: Iterable[Path], known: Iterable[str]) -> None:
    """Raise ValueError, naming the flag, where a path's name without its ending is none of the known ones."""
    known = list(known)
    if unknown := [path.name for path in paths if path.stem not in known]:
        raise ValueError(f"--{flag}: there is no {', '.join(unknown)}; valid are {', '.join(known)}")
