"""Search spaces: named variables, and their place in the unit cube in which the optimiser works.

A float or integer takes one axis of the cube, a categorical one axis a choice (one-hot), a fixed value none.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tessera.common import params
from tessera.common.params import Section

Choice = bool | int | float | str


class _Number(Section):
    """What a float and an integer have in common: a range on one axis."""

    low: float
    high: float
    log: bool = False
    """Whether equal ratios, not equal differences, are equally far apart."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.low, self.high
        if not low < high:
            raise ValueError(f"low = {low}, high = {high}: the range is empty; valid is low < high, or kind: fixed")
        if self.log and low <= 0:
            raise ValueError(f"low = {low}: a logarithmic range begins above 0")
        if not math.isfinite(high - low):
            raise ValueError(f"low = {low}, high = {high}: the range is wider than floats are")
        return self

    @property
    def width(self) -> int:
        return 1


class Float(_Number):
    """A real number between two bounds, on a linear or logarithmic scale."""

    kind: Literal["float"] = "float"

    def to_axes(self, value: Any) -> list[float]:
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise ValueError(f"{value!r}; valid is a number from {self.low} to {self.high}")
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return [min(max(share, 0.0), 1.0)]

    def from_axes(self, axes: np.ndarray) -> float:
        share = float(axes[0])
        if self.log:
            value = self.low * math.exp(share * math.log(self.high / self.low))
        else:
            value = self.low + share * (self.high - self.low)
        return min(max(value, self.low), self.high)  # rounding must not leave the range

    def snap(self, axes: np.ndarray) -> np.ndarray:
        return axes


class Int(_Number):
    """An integer between two bounds, both included; each takes a bin of its axis, and stands at its middle."""

    kind: Literal["int"] = "int"
    low: int
    high: int

    def _ends(self) -> tuple[float, float]:
        low, high = self.low - 0.5, self.high + 0.5
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def to_axes(self, value: Any) -> list[float]:
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise ValueError(f"{value!r}; valid is an integer from {self.low} to {self.high}")
        start, end = self._ends()
        return [((math.log(value) if self.log else value) - start) / (end - start)]

    def from_axes(self, axes: np.ndarray) -> int:
        start, end = self._ends()
        place = start + float(axes[0]) * (end - start)
        return min(max(round(math.exp(place) if self.log else place), self.low), self.high)

    def snap(self, axes: np.ndarray) -> np.ndarray:
        return np.array([self.to_axes(self.from_axes(row)) for row in axes]).reshape(axes.shape)


class Categorical(Section):
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

    def to_axes(self, value: Any) -> list[float]:
        found = [type(value) is type(choice) and value == choice for choice in self.choices]
        if not any(found):
            raise ValueError(f"{value!r}; valid is one of {list(self.choices)}")
        return [float(one) for one in found]

    def from_axes(self, axes: np.ndarray) -> Choice:
        return self.choices[int(np.argmax(axes))]

    def snap(self, axes: np.ndarray) -> np.ndarray:
        return np.eye(self.width)[np.argmax(axes, axis=1)]


class Fixed(Section):
    """A value that is handed on with the others and is never changed."""

    kind: Literal["fixed"] = "fixed"
    value: Choice

    @property
    def width(self) -> int:
        return 0

    def to_axes(self, value: Any) -> list[float]:
        if type(value) is not type(self.value) or value != self.value:
            raise ValueError(f"{value!r}; valid is {self.value!r}")
        return []

    def from_axes(self, axes: np.ndarray) -> Choice:
        return self.value

    def snap(self, axes: np.ndarray) -> np.ndarray:
        return axes


Variable = Annotated[Float | Int | Categorical | Fixed, Field(discriminator="kind")]


class _Variables(Section):
    space: dict[str, Variable]


class Space:
    """Named variables in their order; points are mappings by name outside, rows of the unit cube (n, D) inside.

    variables are Float, Int, Categorical or Fixed, or mappings with the same keys as in params.yaml. Raises ValueError,
    naming the variable, where one is malformed or none is free.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        plain = {
            name: one.model_dump(mode="json") if isinstance(one, Section) else one for name, one in variables.items()
        }
        self.variables = params.check(_Variables, {"space": plain}).space
        self.slices: dict[str, slice] = {}
        start = 0
        for name, variable in self.variables.items():
            self.slices[name] = slice(start, start + variable.width)
            start += variable.width
        self.width = start
        self.free = sum(variable.width > 0 for variable in self.variables.values())
        if not self.free:
            raise ValueError("the space has no variable to optimise; valid is at least one that is not fixed")
        #: Axes that have edges: those of floats. The ends of an integer's range and a choice are values as any other.
        self.edged = np.zeros(self.width, dtype=bool)
        for name, variable in self.variables.items():
            if isinstance(variable, Float):
                self.edged[self.slices[name]] = True
        self._continuous = bool(self.edged.all())

    def to_json(self) -> dict[str, Any]:
        """Plain data from which Space makes the same space."""
        return {name: variable.model_dump(mode="json") for name, variable in self.variables.items()}

    def to_cube(self, point: Mapping[str, Any]) -> np.ndarray:
        """Row (D,) of a point. Raises ValueError, naming the variable, where it is not in the space."""
        if set(point) != set(self.variables):
            raise ValueError(f"a point has the variables {sorted(point)}; valid are {sorted(self.variables)}")
        row: list[float] = []
        for name, variable in self.variables.items():
            try:
                row += variable.to_axes(point[name])
            except ValueError as error:
                raise ValueError(f"{name} = {error}") from None
        return np.array(row)

    def from_cube(self, row: np.ndarray) -> dict[str, Any]:
        """The point that is nearest to a row (D,) of the cube."""
        return {name: one.from_axes(row[self.slices[name]]) for name, one in self.variables.items()}

    def snap(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, D), moved to where points stand: integers to the middle of their bins, categoricals to a corner."""
        if self._continuous:
            return rows
        return np.concatenate([one.snap(rows[:, self.slices[name]]) for name, one in self.variables.items()], axis=1)

    def uniform(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n rows (n, D), uniform over the space."""
        rows = rng.random((n, self.width))
        return self.snap(rows)
