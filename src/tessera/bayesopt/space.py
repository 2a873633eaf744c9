"""Search spaces: named variables, and their place in the unit cube in which the optimiser works."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tessera.bayesopt.variables import Float, Variable, plain
from tessera.common import params
from tessera.common.params import Section


class _Variables(Section):
    space: dict[str, Variable]


class Space:
    """Named variables in their order; points are mappings by name outside, rows of the unit cube (n, D) inside.

    variables are Float, Int, Categorical or Fixed, or mappings with the same keys as in params.yaml. Raises ValueError,
    naming the variable, if one is malformed or none is free.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        if not isinstance(variables, Mapping) or not all(isinstance(name, str) for name in variables):
            raise ValueError(f"{variables!r}; expected a mapping from names to variables")
        values = {
            name: variable.model_dump(mode="json")
            if isinstance(variable, Section)
            else plain(variable, f"space.{name}")
            for name, variable in variables.items()
        }
        self.variables = params.check(_Variables, {"space": values}).space
        self.slices: dict[str, slice] = {}
        start = 0
        for name, variable in self.variables.items():
            self.slices[name] = slice(start, start + variable.width)
            start += variable.width
        self.width = start
        self.free = sum(variable.width > 0 for variable in self.variables.values())
        if not self.free:
            raise ValueError("the space has no variable to optimise; at least one must not be fixed")
        #: Number of points: infinite if a variable is a float.
        self.size = math.prod(variable.count for variable in self.variables.values())
        #: Axes that have edges: those of floats. The ends of an integer's range and a choice are values as any other.
        self.edged = np.zeros(self.width, dtype=bool)
        for name, variable in self.variables.items():
            if isinstance(variable, Float):
                self.edged[self.slices[name]] = True

    def to_json(self) -> dict[str, Any]:
        """Plain data from which Space makes the same space."""
        return {name: variable.model_dump(mode="json") for name, variable in self.variables.items()}

    def point(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """A point with Python's own values. Raises ValueError, naming the variable, if it is not in the space."""
        self.to_cube(point)
        return {name: plain(point[name], name) for name in point}

    def to_cube(self, point: Mapping[str, Any]) -> np.ndarray:
        """Row (D,) of a point. Raises ValueError, naming the variable, if it is not in the space."""
        if not isinstance(point, Mapping) or set(point) != set(self.variables):
            names = sorted(map(str, point)) if isinstance(point, Mapping) else repr(point)
            raise ValueError(f"a point has the variables {names}; expected {sorted(self.variables)}")
        row: list[float] = []
        for name, variable in self.variables.items():
            try:
                row += variable.to_axes(plain(point[name], name))
            except ValueError as error:
                raise ValueError(f"{name} = {error}") from None
        return np.array(row)

    def from_cube(self, row: np.ndarray) -> dict[str, Any]:
        """The point that is nearest to a row (D,) of the cube."""
        return {name: variable.from_axes(row[self.slices[name]]) for name, variable in self.variables.items()}

    def snap(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, D), moved to where points stand: floats on a grid, integers mid-bin, choices in corners."""
        return np.concatenate(
            [variable.snap(rows[:, self.slices[name]]) for name, variable in self.variables.items()], axis=1
        )

    def uniform(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n rows (n, D), uniform over the space."""
        rows = rng.random((n, self.width))
        return self.snap(rows)

    def rows(self) -> np.ndarray:
        """Rows (size, D) of all points of a finite space."""
        levels = [variable.levels() for variable in self.variables.values() if not isinstance(variable, Float)]
        return np.array([np.concatenate(parts) for parts in itertools.product(*levels)])
