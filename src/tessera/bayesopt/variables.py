"""Variables of a search space, and the axes of the unit cube in which the optimiser works that each takes.

A float or integer takes one axis of the cube, a categorical one axis per choice (one-hot), a fixed value none.
"""

import math
from collections.abc import Mapping
from decimal import Context, Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from tessera.common import params
from tessera.common.params import Section


def _choice(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number, a text, true, false or null")
    return value


Choice = Annotated[bool | int | float | str | None, BeforeValidator(_choice)]
#: Floats that are proposed lie on a grid of the unit cube, so that rounding errors do not decide what is evaluated.
DECIMALS = 5
#: Logarithmic axes are computed with more digits than floats have: the last digit of math.exp depends on the processor.
_EXACT = Context(prec=25)


@lru_cache(maxsize=1 << 14)
def _ln(value: float) -> Decimal:
    return _EXACT.ln(Decimal(value))


def plain(value: Any, place: str) -> Any:
    """Python's own values for NumPy's, in lists and mappings too. Raises ValueError, naming place, for others."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(child, f"{place}.{key}") for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child, f"{place}[{i}]") for i, child in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{place} = {value!r}; expected a number, a text, true, false or null")


class _Variable(Section):
    """What all variables have in common: faults are named in one line each, also for variables made in code."""

    def __init__(self, **values: Any) -> None:
        checked = params.check(type(self), {name: plain(value, name) for name, value in values.items()})
        super().__init__(**dict(checked))

    # Pydantic is to ignore this constructor and validate by the fields when it reads params.yaml.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class _Number(_Variable):
    """What a float and an integer have in common: a range on one axis."""

    low: float
    high: float
    log: bool = False
    """Whether equal ratios, not equal differences, are equally far apart."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.low, self.high
        if not low < high:
            raise ValueError(f"low = {low}, high = {high}: the range is empty; expected low < high, or kind: fixed")
        if self.log and low <= 0:
            raise ValueError(f"low = {low}: a logarithmic range begins above 0")
        if isinstance(low, int) and max(abs(low), abs(high)) >= 1 << 63:
            raise ValueError(f"low = {low}, high = {high}: expected integers of at most 63 bits")
        if not math.isfinite(high - low):
            raise ValueError(f"low = {low}, high = {high}: the range is wider than floats are")
        return self

    @property
    def width(self) -> int:
        return 1

    @property
    def count(self) -> float:
        """How many values there are."""
        return math.inf


class Float(_Number):
    """A real number between two bounds, on a linear or logarithmic scale."""

    kind: Literal["float"] = "float"

    def to_axes(self, value: Any) -> list[float]:
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise ValueError(f"{value!r}; expected a number from {self.low} to {self.high}")
        if self.log:
            low = _ln(self.low)
            share = float(_EXACT.divide(_EXACT.subtract(_ln(value), low), _EXACT.subtract(_ln(self.high), low)))
        else:
            share = (value - self.low) / (self.high - self.low)
        return [min(max(share, 0.0), 1.0)]

    def from_axes(self, axes: np.ndarray) -> float:
        share = float(axes[0])
        if self.log:
            low = _ln(self.low)
            value = float(_EXACT.exp(_EXACT.fma(Decimal(share), _EXACT.subtract(_ln(self.high), low), low)))
        else:
            value = self.low + share * (self.high - self.low)
        return min(max(value, self.low), self.high)  # rounding must not leave the range

    def snap(self, axes: np.ndarray) -> np.ndarray:
        return np.round(axes, DECIMALS)


class Int(_Number):
    """An integer between two bounds, both included; each takes a bin of its axis, and stands at its middle."""

    kind: Literal["int"] = "int"
    low: int
    high: int

    @property
    def count(self) -> float:
        return self.high - self.low + 1

    def levels(self) -> np.ndarray:
        """Axes (count, 1) of all values."""
        return np.array([self.to_axes(value) for value in range(self.low, self.high + 1)])

    def to_axes(self, value: Any) -> list[float]:
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise ValueError(f"{value!r}; expected an integer from {self.low} to {self.high}")
        if self.log:
            return [self._log_ratio(2 * value) / self._log_ratio(2 * self.high + 1)]
        return [(2 * (value - self.low) + 1) / (2 * (self.high - self.low + 1))]

    def from_axes(self, axes: np.ndarray) -> int:
        share = float(axes[0])
        if self.log:
            above = int(math.expm1(share * self._log_ratio(2 * self.high + 1)) * (self.low - 0.5))
        else:
            numerator, denominator = share.as_integer_ratio()
            above = numerator * (self.high - self.low + 1) // denominator
        return min(self.low + above, self.high)

    def _log_ratio(self, doubled: int) -> float:
        """Logarithm of doubled / 2 over low - 1/2, the lower end of the first bin."""
        return math.log1p((doubled - (2 * self.low - 1)) / (2 * self.low - 1))

    def snap(self, axes: np.ndarray) -> np.ndarray:
        return np.array([self.to_axes(self.from_axes(row)) for row in axes]).reshape(axes.shape)


class Categorical(_Variable):
    """One of several choices without an order."""

    kind: Literal["categorical"] = "categorical"
    choices: tuple[Choice, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({(type(choice), choice) for choice in self.choices}) < len(self.choices):
            raise ValueError(f"choices = {list(self.choices)}: a choice is there twice")
        return self

    @property
    def width(self) -> int:
        return len(self.choices)

    @property
    def count(self) -> float:
        return len(self.choices)

    def levels(self) -> np.ndarray:
        return np.eye(self.width)

    def to_axes(self, value: Any) -> list[float]:
        chosen = [type(value) is type(choice) and value == choice for choice in self.choices]
        if not any(chosen):
            raise ValueError(f"{value!r}; expected one of {list(self.choices)}")
        return [float(match) for match in chosen]

    def from_axes(self, axes: np.ndarray) -> Choice:
        return self.choices[int(np.argmax(axes))]

    def snap(self, axes: np.ndarray) -> np.ndarray:
        return np.eye(self.width)[np.argmax(axes, axis=1)]


class Fixed(_Variable):
    """A value that is handed on with the others and is never changed."""

    kind: Literal["fixed"] = "fixed"
    value: Choice

    @property
    def width(self) -> int:
        return 0

    @property
    def count(self) -> float:
        return 1

    def levels(self) -> np.ndarray:
        return np.zeros((1, 0))

    def to_axes(self, value: Any) -> list[float]:
        if type(value) is not type(self.value) or value != self.value:
            raise ValueError(f"{value!r}; expected {self.value!r}")
        return []

    def from_axes(self, axes: np.ndarray) -> Choice:
        return self.value

    def snap(self, axes: np.ndarray) -> np.ndarray:
        return axes


Variable = Annotated[Float | Int | Categorical | Fixed, Field(discriminator="kind")]
