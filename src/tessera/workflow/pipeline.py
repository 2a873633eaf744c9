"""The stages of dvc.yaml, and which of them dvc.lock does not know yet.

A stage of dvc.yaml calls `snakemake --allowed-rules RULES TARGET -- TARGET`. RULES are those that make its outs, TARGET
is the rule that asks for all of them. --allowed-rules keeps a stage from running what belongs to stages before it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LOCK = Path("dvc.lock")
#: Names the stages that a run has begun to make and dvc.lock does not know of.
UNRECORDED = Path(".snakemake/unrecorded")


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml: the Snakemake rules that it may run, the rule that asks for all its files, deps and outs."""

    name: str
    rules: tuple[str, ...]
    target: str
    deps: tuple[Path, ...]
    outs: tuple[Path, ...]

    def files(self) -> Iterator[Path]:
        """Files of the outs that are there."""
        return files_of(self.outs)


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Files that are there, also those in directories."""
    for path in paths:
        yield from (file for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def stages(path: str | Path = "dvc.yaml") -> list[Stage]:
    """Read the stages of dvc.yaml. Raises ValueError if a stage does not call Snakemake as the module says."""
    listed = []
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
    for name, stage in yaml.load(Path(path).read_text(encoding="utf-8"), loader)["stages"].items():
        words = stage["cmd"].split()
        if words[:2] != ["snakemake", "--allowed-rules"] or words[-2] != "--":
            raise ValueError(
                f"{path}: stages.{name}.cmd = {stage['cmd']!r}; expected snakemake --allowed-rules RULES -- TARGET"
            )
        outs = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
        listed.append(Stage(name, tuple(words[2:-2]), words[-1], _paths(stage.get("deps", [])), _paths(outs)))
    return listed


def _paths(entries: Iterable[Any]) -> tuple[Path, ...]:
    """Paths of a list of dvc.yaml, where an entry is a path or a mapping of one to its settings."""
    return tuple(Path(entry if isinstance(entry, str) else next(iter(entry))) for entry in entries)


def noted(root: Path = Path()) -> set[str] | None:
    """Stages of root that UNRECORDED names; None stands for all, if a kill left it empty."""
    path = root / UNRECORDED
    return (set(path.read_text().split()) or None) if path.exists() else set()
