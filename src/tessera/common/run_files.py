"""Run files: what a stage writes for each run that MLflow is to show, reports/metrics/STUDY/RULE/NAME.json.

Stages know nothing of MLflow: `tessera.common.tracking` imports these files.
"""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from tessera.common import files, params
from tessera.common.params import Section

#: Where run files lie: study, rule, name.
RUN_FILES = "reports/metrics/*/*/*.json"
#: What MLflow takes in a name of a metric, parameter or tag.
NAME = re.compile(r"[\w\-. :/]{1,250}", re.ASCII)
NAMES = "at most 250 letters, digits, spaces and _-.:/, with no empty part, . or .. between slashes"
#: Most characters of a tag's value and of a note, which is a tag. MLflow cuts off what is longer.
LONGEST_TAG = 8000
#: Steps are 64-bit integers.
Step = Annotated[int, Field(ge=-(2**63), lt=2**63)]
#: Tags that the import sets: the run's key, whether its file still says the same, whether the import is unfinished, and
#: the run's file. MLflow keeps a run's name and note as tags as well.
IMPORT_TAGS = ("stage.key", "current", "import.pending", "run.file")
RESERVED_TAGS = (*IMPORT_TAGS, "mlflow.runName", "mlflow.note.content")


class RunRecord(Section):
    """One run, as a study's stage writes it."""

    experiment: str
    """Stage family whose runs are compared with one another, such as puzzle/library."""
    name: str = Field(min_length=1, max_length=250)
    """rule/key=value/..., such as puzzle_library/layer=3."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Sections of params.yaml; nested keys are joined by dots."""
    tags: dict[str, Annotated[str, Field(max_length=LONGEST_TAG)]] = Field(default_factory=dict)
    """What else to group by: snakemake.rule, snakemake.wildcards, device, seed."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Final values."""
    history: dict[str, list[tuple[Step, float]]] = Field(default_factory=dict)
    """Curves: (step, value) pairs."""
    figures: list[str] = Field(default_factory=list)
    """Paths of figures, relative to the working directory."""
    note: str = Field(default="", max_length=LONGEST_TAG)
    """Description, in Markdown."""

    @model_validator(mode="after")
    def _as_mlflow_takes_them(self) -> Self:
        """Refuse, where a run is written and not hours later at its import, what MLflow would refuse or mix up."""
        flat = Counter(name for name, _ in _flat(self.params))
        names = [("experiment", self.experiment), *(("metric", name) for name in (*self.metrics, *self.history))]
        names += [*(("parameter", name) for name in flat), *(("tag", name) for name in self.tags)]
        for kind, name in names:
            if not _is_name(name):
                raise ValueError(f"{kind} {name!r}: valid are {NAMES}")
        if both := self.metrics.keys() & self.history.keys():
            raise ValueError(f"{', '.join(sorted(both))}: a final value and a curve of one name become one curve")
        if twice := [name for name, count in flat.items() if count > 1]:
            raise ValueError(f"parameter {twice[0]!r}: two nested keys joined by dots have this name; rename one")
        if reserved := self.tags.keys() & set(RESERVED_TAGS):
            raise ValueError(f"tag {min(reserved)!r}: set by the import; choose another name")
        figures = Counter(Path(figure).name for figure in self.figures)
        if twice := [name for name, count in figures.items() if count > 1]:
            raise ValueError(f"figures: two are called {twice[0]!r}, and a run keeps one of each name; rename one")
        return self

    def flat_params(self) -> dict[str, str]:
        """Nested parameters by dotted names, as text."""
        return dict(_flat(self.params))

    def write(self, path: str | Path) -> None:
        """Write the run file. Raises ValueError, naming it, the key and the value, if MLflow would not take it."""
        content = self.model_dump(mode="json")
        params.check(RunRecord, content, [(str(path), content)])
        files.write_json(path, content)


def read(path: str | Path) -> RunRecord:
    """Read a run file. Raises ValueError, naming file, key and value, where it is not one."""
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}; valid is the mapping of a run file")
    return params.check(RunRecord, content, [(str(path), content)])


def _is_name(name: str) -> bool:
    """Whether MLflow, which may keep things in files of their names, takes the name."""
    return bool(NAME.fullmatch(name)) and posixpath.normpath(name) == name != "." and not name.startswith(("/", ".."))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
