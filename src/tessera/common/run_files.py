"""Run files: the runs that MLflow shows, one JSON-lines file per study, reports/runs/STUDY.jsonl.

Reports write them and know nothing of MLflow: `tessera.workflow.tracking` imports these files.
"""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from tessera.common import files, params
from tessera.common.params import Section

#: Where run files are, one per study.
RUN_FILES = "reports/runs/*.jsonl"
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
    """One run, as the study's report writes it."""

    experiment: str
    """Stage family whose runs are compared with one another, such as puzzle/library."""
    name: str = Field(min_length=1, max_length=250)
    """Short, and different for each run of the experiment, such as `cpu 1.3x mip`."""
    job: str = Field(pattern=r"^[a-z]\w*(/[^/\s]+)*$")
    """The job that computed it, named as its log is: rule and wildcards, such as tempotron_findable/k3_n500."""
    inputs: list[str] = Field(default_factory=list)
    """Data sets that the job read: paths that dvc.lock knows, such as data/tokens."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Sections of params.yaml; nested keys are joined by dots."""
    tags: dict[str, Annotated[str, Field(max_length=LONGEST_TAG)]] = Field(default_factory=dict)
    """What else to group by, such as seed, device or method. The rule comes from `job`."""
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
        """Refuse what MLflow would refuse or confuse: when a run is written, not hours later when it is imported."""
        flat = Counter(name for name, _ in _flat(self.params))
        names = [("experiment", self.experiment), *(("metric", name) for name in (*self.metrics, *self.history))]
        names += [*(("parameter", name) for name in flat), *(("tag", name) for name in self.tags)]
        for kind, name in names:
            if not _is_name(name):
                raise ValueError(f"{kind} {name!r}: must have {NAMES}")
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


def write(path: str | Path, records: Iterable[RunRecord]) -> None:
    """Write runs, one per line, sorted by experiment and name.

    Raises ValueError, naming the file, the run, key and value, if MLflow would not accept one, or if two runs of an
    experiment have the same name.
    """
    ordered = sorted(records, key=lambda record: (record.experiment, record.name))
    _distinct(path, ordered)
    lines = []
    for record in ordered:
        content = record.model_dump(mode="json")
        params.check(RunRecord, content, [(f"{path}: {record.experiment}: {record.name}", content)])
        lines.append(files.to_json(content, indent=None).strip("\n") + "\n")
    files.write_text(path, "".join(lines))


def read(path: str | Path) -> list[RunRecord]:
    """Read the runs of a file. Raises ValueError, naming file, line, key and value, if one is not a run."""
    records = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        place = f"{path}, line {number}"
        try:
            content = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{place}: not JSON: {error}") from None
        if not isinstance(content, dict):
            raise ValueError(f"{place}: holds a {type(content).__name__}; expected the object of a run")
        records.append(params.check(RunRecord, content, [(place, content)]))
    _distinct(path, records)
    return records


def _distinct(path: str | Path, records: Iterable[RunRecord]) -> None:
    counts = Counter((record.experiment, record.name) for record in records)
    if twice := [f"{experiment}: {name}" for (experiment, name), count in counts.items() if count > 1]:
        raise ValueError(f"{path}: two runs are called {twice[0]}; a name must be unique within its experiment")


def _is_name(name: str) -> bool:
    """Whether MLflow, which may keep things in files of their names, takes the name."""
    return bool(NAME.fullmatch(name)) and posixpath.normpath(name) == name != "." and not name.startswith(("/", ".."))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
