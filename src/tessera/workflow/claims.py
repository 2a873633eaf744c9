"""Claims about results, each with a tolerance fixed in advance, checked against the result files of a run.

A claim about a ranking, correlation or prediction states its null: a predictor that makes no use of the claimed effect.
If the null also meets the criterion, the claim fails, unless a partial association whose interval lies above 0 shows
that the prediction improves on the null. A value with an interval meets a criterion only if both ends do.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tessera.common import files, markdown, params
from tessera.common.params import Section

CLAIMS = "reports/claims.yaml"


class Null(Section):
    """A trivial predictor and its score on the same data."""

    predictor: str = Field(min_length=1)
    """What it predicts from, such as "the number of targets alone"."""
    score: tuple[str, ...] | float
    """Path of its score in the claim's file, on the same scale as the claim's value; or the score itself."""
    partial: tuple[str, ...] | None = None
    """Path of {value, low, high}: partial association of prediction and measurement, controlling for the null."""


class Claim(Section):
    """A criterion for one value of a result file: close to an expected value, or within bounds."""

    claim: str = Field(min_length=1)
    """One sentence."""
    source: str = Field(min_length=1)
    """Where the claim comes from: a paper, a derivation, a goal."""
    file: str = Field(pattern=r"\.json$")
    """Result file, relative to the repository."""
    key: tuple[str, ...] = Field(min_length=1)
    """Path within the file of a number, or of {value, low, high}, a number with its interval."""
    relative_to: tuple[str, ...] | None = None
    """Path of a second number in the file, by which the first is divided."""
    expected: float | None = None
    tolerance: float | None = Field(default=None, ge=0)
    at_most: float | None = None
    at_least: float | None = None
    null_model: Null | None = None
    note: str = ""
    """Further information for readers."""

    @model_validator(mode="after")
    def _one_criterion(self) -> "Claim":
        bounds = [self.at_most, self.at_least]
        near = [self.expected, self.tolerance]
        if (None in near) == all(bound is None for bound in bounds) or near.count(None) == 1:
            raise ValueError("a claim needs either `expected` with `tolerance`, or `at_most`, `at_least` or both")
        return self

    @property
    def criterion(self) -> str:
        """The criterion in words."""
        if self.expected is not None:
            words = f"{self.expected:.10g} ± {self.tolerance:.2g}"
        else:
            bounds = {"at least": self.at_least, "at most": self.at_most}
            words = " and ".join(f"{side} {bound:.10g}" for side, bound in bounds.items() if bound is not None)
        if self.null_model is None:
            return words
        return f"{words}; " + ("partial association above 0" if self.null_model.partial else "null fails it")

    def holds(self, value: float) -> bool:
        """Whether the value meets the criterion."""
        if self.expected is not None and self.tolerance is not None:
            return abs(value - self.expected) <= self.tolerance
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)


@dataclass(frozen=True)
class Measured:
    """A number, with the ends of its 95 % interval, if any."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> list[float]:
        return [self.value, *(end for end in (self.low, self.high) if end is not None)]

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.value:.6g}{interval}"


@dataclass(frozen=True)
class Verdict:
    """A claim and its outcome; None for a value that is missing from the results."""

    study: str
    name: str
    claim: Claim
    value: Measured | None
    null: Measured | None = None
    """Score of the null."""
    partial: Measured | None = None
    """Partial association, controlling for the null."""

    @property
    def status(self) -> Literal["pass", "fail", "missing"]:
        if self.value is None:
            return "missing"
        if not all(map(self.claim.holds, self.value.ends)):
            return "fail"
        null = self.claim.null_model
        if null and (self.null is None or (null.partial and self.partial is None)):
            return "missing"
        return "pass" if self._beyond_null() else "fail"

    def _beyond_null(self) -> bool:
        """Whether the result goes beyond the null, if the claim states one."""
        if self.partial is not None:
            return min(self.partial.ends) > 0
        return self.null is None or not self.claim.holds(self.null.value)

    @property
    def result(self) -> str:
        """The value in words."""
        return "-" if self.value is None else str(self.value)

    @property
    def against(self) -> str:
        """The null in words, with its score and the partial association; empty if the claim states none."""
        if self.claim.null_model is None:
            return ""
        partial = "" if self.claim.null_model.partial is None else f"; partial {self.partial or '-'}"
        return f"{self.claim.null_model.predictor}: {self.null or '-'}{partial}"


def read(path: str | Path) -> dict[str, dict[str, Claim]]:
    """Read claims by study and name. Raises FileNotFoundError, or ValueError naming the invalid claim and its fault."""
    content = params.read(path)
    by_study: dict[str, dict[str, Claim]] = {}
    for study, claims in content.items():
        if not isinstance(claims, Mapping):
            raise ValueError(f"{path}: {study}: holds a {type(claims).__name__}; expected a mapping of claims by name")
        for name, claim in claims.items():
            try:
                by_study.setdefault(study, {})[name] = params.check(Claim, claim)
            except ValueError as error:
                raise ValueError(f"{path}: {study}.{name}: {error}") from None
    return by_study


def verify(root: str | Path = ".", claims: str | Path | None = None) -> list[Verdict]:
    """Check every claim, by default those in root's own file, against root's result files.

    Raises ValueError if a result file or the claims cannot be read.
    """
    root = Path(root)
    contents: dict[str, Any] = {}
    verdicts = []
    for study, listed in read(claims or root / CLAIMS).items():
        for name, claim in listed.items():
            if claim.file not in contents:
                path = root / claim.file
                contents[claim.file] = files.read_json(path) if path.is_file() else None
            content, null = contents[claim.file], claim.null_model
            value = _measured(content, claim.key)
            if claim.relative_to is not None and value is not None:
                other = _measured(content, claim.relative_to)
                value = Measured(value.value / other.value) if other is not None and other.value else None
            score, partial = _measured(content, null.score if null else ()), None
            if null is not None and null.partial is not None:
                partial = _measured(content, null.partial)
            verdicts.append(Verdict(study, name, claim, value, score, partial))
    return verdicts


def _measured(content: Any, key: tuple[str, ...] | float) -> Measured | None:
    """Return the number at a path of keys, or the number itself; None if it or an end of its interval is missing."""
    if not isinstance(key, tuple):
        return Measured(key)
    for part in key:
        if not isinstance(content, dict) or part not in content:
            return None
        content = content[part]
    with_interval = isinstance(content, dict) and content.keys() >= {"value", "low", "high"}
    numbers = [content[end] for end in ("value", "low", "high")] if with_interval else [content]
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
        return None
    return Measured(*map(float, numbers))


def table(verdicts: list[Verdict]) -> str:
    """Every claim of `reports/claims.yaml`: its criterion, fixed in advance, the result, and whether it holds.

    Failures are shown as failures. `make verify` prints the same on a terminal.
    """
    header = ("study", "claim", "source", "criterion", "result", "null", "")
    rows = []
    for verdict in verdicts:
        claim = verdict.claim
        text = f"{claim.claim} ({claim.note})" if claim.note else claim.claim
        cells = [verdict.study, text, claim.source, claim.criterion, verdict.result, verdict.against, verdict.status]
        rows.append([" ".join(cell.replace("|", "\\|").split()) for cell in cells])
    return "\n".join(markdown.table(header, rows, text_columns=len(header)))
