"""Budgets of the mixed-integer program in exact arithmetic: which variants they leave possible, and what they then ask.

A float is an integer times a power of two, so sums and comparisons here are those of integers. Nothing is rounded,
nothing overflows, and a number that cannot be chosen has no influence on any other.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

Table = Sequence[Sequence[float]]  # one row per layer, one number per variant
Allowed = list[list[int]]  # positions of the variants of each layer that are still considered

#: Budgets given as floats may be overspent, and objectives may differ and still tie, by this share; integers are exact.
TOLERANCE = 1e-9
#: Coefficients smaller than the widest by this may be left out for a solver that errs on them.
_TINY = 10**6


def integers(table: Table) -> tuple[list[list[int]], int]:
    """The table times the least power of two that makes all its entries integers, and that power."""
    ratios = [[number.as_integer_ratio() for number in layer] for layer in table]
    unit = max(denominator for layer in ratios for _, denominator in layer)
    return [[numerator * (unit // denominator) for numerator, denominator in layer] for layer in ratios], unit


def summed(numbers: Sequence[float]) -> float:
    """Exact sum: of integers exactly, of floats correctly rounded; infinite beyond the range of floats."""
    exact = sum(map(Fraction, numbers), Fraction(0))
    if abs(exact) > sys.float_info.max:
        return math.inf if exact > 0 else -math.inf
    return int(exact) if all(float(n).is_integer() for n in numbers) else float(exact)


@dataclass(frozen=True)
class Row:
    """A budget: sum of the chosen coefficients <= limit.

    A sum of floats may exceed the limit by tolerance * |limit|, a sum that is an integer, like the limit, by nothing.
    """

    name: str
    coefficients: Table
    limit: float | Fraction
    tolerance: float = TOLERANCE

    @cached_property
    def numbers(self) -> tuple[list[list[int]], int]:
        """Coefficients as integers, and the unit that they are multiplied by."""
        return integers(self.coefficients)

    @cached_property
    def _most(self) -> tuple[int, int]:
        """Greatest sum of integers and greatest sum of floats that keep the budget, in units."""
        limit, unit = Fraction(self.limit), self.numbers[1]
        loose = math.floor((limit + Fraction(self.tolerance) * abs(limit)) * unit)
        return int(limit) * unit if limit.denominator == 1 else loose, loose

    def holds(self, selection: Sequence[int]) -> bool:
        """Whether the budget is kept, in exact arithmetic."""
        coefficients, unit = self.numbers
        spent = sum(layer[j] for layer, j in zip(coefficients, selection, strict=True))
        return spent <= self._most[spent % unit > 0]

    def most(self, allowed: Allowed) -> int:
        """Greatest sum of allowed variants, in units, that may keep the budget."""
        coefficients, unit = self.numbers
        return self._most[any(coefficients[i][j] % unit for i, layer in enumerate(allowed) for j in layer)]

    def tightened(self, allowed: Allowed) -> tuple[list[list[int]], int] | None:
        """The row over the allowed variants: coefficients >= 0 and the room for their sum, or None if it always holds.

        Each layer's least coefficient is taken off. One so low that the row holds whatever the other layers take is
        first raised until it only just does: the same selections are kept, and a huge cost that a lower limit counts
        does not dwarf the others.
        """
        most = self.most(allowed)
        chosen = [[row[j] for j in layer] for row, layer in zip(self.numbers[0], allowed, strict=True)]
        spare = most - sum(map(max, chosen))
        if spare >= 0:
            return None
        raised = [[max(c, max(layer) + spare) for c in layer] for layer in chosen]
        least = [min(layer) for layer in raised]
        return [[c - low for c in layer] for layer, low in zip(raised, least, strict=True)], most - sum(least)

    def coarse(self, allowed: Allowed) -> "Row":
        """A row that all selections of this one keep, without coefficients that are tiny next to the widest."""
        numbers = self.numbers[0]
        least = [min(layer, key=row.__getitem__) for row, layer in zip(numbers, allowed, strict=True)]
        tiny = max(numbers[i][j] - numbers[i][least[i]] for i, layer in enumerate(allowed) for j in layer) // _TINY
        coefficients = [
            [layer[low] if number - row[low] < tiny else c for c, number in zip(layer, row, strict=True)]
            for layer, row, low in zip(self.coefficients, numbers, least, strict=True)
        ]
        return replace(self, coefficients=coefficients)


def possible(rows: Sequence[Row], allowed: Allowed) -> Allowed | None:
    """Drop every variant that breaks a row even if all other layers take their least; None if a layer has none left."""
    before = None
    while allowed != before:
        before = allowed
        for row in rows:
            coefficients = row.numbers[0]
            chosen = [[c[j] for j in layer] for c, layer in zip(coefficients, allowed, strict=True)]
            room = row.most(allowed) - sum(map(min, chosen))
            allowed = [
                [j for j, c in zip(layer, numbers, strict=True) if c - min(numbers) <= room]
                for layer, numbers in zip(allowed, chosen, strict=True)
            ]
            if not all(allowed):
                return None
    return allowed
