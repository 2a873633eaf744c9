"""Claims about results, each with a tolerance that was chosen before the run, checked against the files of the run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tessera.common import files, params
from tessera.common.params import Section

CLAIMS = "reports/claims.yaml"


class Claim(Section):
    """What one value of a result file should be: near an expected value, or within bounds."""

    claim: str = Field(min_length=1)
    """One sentence."""
    source: str = Field(min_length=1)
    """Who says so: the paper, a derivation, a goal that was set."""
    file: str = Field(pattern=r"\.json$")
    """Result file, relative to the repository."""
    key: tuple[str, ...] = Field(min_length=1)
    """Path of the value within the file."""
    relative_to: tuple[str, ...] | None = None
    """Path of another value of the file, by which the first is divided."""
    expected: float | None = None
    tolerance: float | None = Field(default=None, ge=0)
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""
    """What else a reader should know."""

    @model_validator(mode="after")
    def _one_criterion(self) -> "Claim":
        bounds = [self.at_most, self.at_least]
        near = [self.expected, self.tolerance]
        if (None in near) == all(bound is None for bound in bounds) or near.count(None) == 1:
            raise ValueError("a claim has either `expected` with `tolerance`, or `at_most`, `at_least` or both")
        return self

    @property
    def criterion(self) -> str:
        """The criterion in words."""
        if self.expected is not None:
            return f"{self.expected:.10g} ± {self.tolerance:.2g}"
        bounds = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{words} {bound:.10g}" for words, bound in bounds.items() if bound is not None)

    def holds(self, value: float) -> bool:
        """Whether the value meets the criterion."""
        if self.expected is not None and self.tolerance is not None:
            return abs(value - self.expected) <= self.tolerance
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)


@dataclass(frozen=True)
class Verdict:
    """A claim and what came of it; without a value where the result is not there."""

    study: str
    name: str
    claim: Claim
    value: float | None

    @property
    def status(self) -> Literal["pass", "fail", "missing"]:
        if self.value is None:
            return "missing"
        return "pass" if self.claim.holds(self.value) else "fail"


def read(path: str | Path) -> dict[str, dict[str, Claim]]:
    """Claims by study and name. Raises FileNotFoundError, and ValueError that names the claim and the fault."""
    content = params.read(path)
    found: dict[str, dict[str, Claim]] = {}
    for study, claims in content.items():
        if not isinstance(claims, Mapping):
            raise ValueError(f"{path}: {study}: holds a {type(claims).__name__}; valid is a mapping of claims by name")
        for name, claim in claims.items():
            try:
                found.setdefault(study, {})[name] = params.check(Claim, claim)
            except ValueError as error:
                raise ValueError(f"{path}: {study}.{name}: {error}") from None
    return found


def verify(root: str | Path = ".", claims: str | Path | None = None) -> list[Verdict]:
    """Check every claim, by default of root's own file, against root's result files.

    Raises ValueError where a file or the claims are damaged.
    """
    root = Path(root)
    contents: dict[str, Any] = {}
    verdicts = []
    for study, listed in read(claims or root / CLAIMS).items():
        for name, claim in listed.items():
            if claim.file not in contents:
                path = root / claim.file
                contents[claim.file] = files.read_json(path) if path.is_file() else None
            value = _value(contents[claim.file], claim.key)
            if claim.relative_to is not None and value is not None:
                other = _value(contents[claim.file], claim.relative_to)
                value = value / other if other else None
            verdicts.append(Verdict(study, name, claim, value))
    return verdicts


def _value(content: Any, key: tuple[str, ...]) -> float | None:
    """The number at a path of keys; nothing where there is none."""
    for part in key:
        if not isinstance(content, dict) or part not in content:
            return None
        content = content[part]
    return float(content) if isinstance(content, int | float) and not isinstance(content, bool) else None


def table(verdicts: list[Verdict]) -> str:
    """The verdicts as a table in Markdown, failures as they are."""
    lines = ["| study | claim | source | wanted | found | |", "|---|---|---|---|---:|---|"]
    for verdict in verdicts:
        one = verdict.claim
        found = "-" if verdict.value is None else f"{verdict.value:.6g}"
        said = f"{one.claim} ({one.note})" if one.note else one.claim
        cells = [verdict.study, said, one.source, one.criterion, found, verdict.status]
        lines.append("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |")
    return "\n".join(lines) + "\n"
