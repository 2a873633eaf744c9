"""Run files: what a stage writes for each run that MLflow is to show, reports/metrics/STUDY/RULE/NAME.json.

Stages know nothing of MLflow: `tessera.common.tracking` imports these files.
"""

import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from tessera.common import files, params
from tessera.common.params import Section

#: Where run files lie: study, rule, name.
RUN_FILES = "reports/metrics/*/*/*.json"
#: What MLflow takes as a metric's name.
METRIC_NAME = re.compile(r"[\w\-. :/]{1,250}", re.ASCII)


class RunRecord(Section):
    """One run, as a study's stage writes it."""

    experiment: str = Field(min_length=1)
    """Stage family whose runs are compared with one another, such as puzzle/library."""
    name: str = Field(min_length=1)
    """rule/key=value/..., such as puzzle_library/layer=3."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Sections of params.yaml; nested keys are joined by dots."""
    tags: dict[str, str] = Field(default_factory=dict)
    """What else to group by: snakemake.rule, snakemake.wildcards, device, seed."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Final values."""
    history: dict[str, list[tuple[int, float]]] = Field(default_factory=dict)
    """Curves: (step, value) pairs."""
    figures: list[str] = Field(default_factory=list)
    """Paths of figures, relative to the working directory."""
    note: str = ""
    """Description, in Markdown."""

    @model_validator(mode="after")
    def _as_mlflow_takes_them(self) -> Self:
        """Refuse, where a run is written and not hours later at its import, what MLflow would refuse or mix up."""
        for name in (*self.metrics, *self.history):
            if not METRIC_NAME.fullmatch(name):
                raise ValueError(f"metric {name!r}: valid are at most 250 letters, digits, spaces and _-.:/")
        if both := self.metrics.keys() & self.history.keys():
            raise ValueError(f"{', '.join(sorted(both))}: a final value and a curve of one name become one curve")
        return self

    def write(self, path: str | Path) -> None:
        """Write the run file. Raises ValueError where a value is not finite."""
        files.write_json(path, self.model_dump(mode="json"))


def read(path: str | Path) -> RunRecord:
    """Read a run file. Raises ValueError, naming file, key and value, where it is not one."""
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}; valid is the mapping of a run file")
    return params.check(RunRecord, content, [(str(path), content)])
