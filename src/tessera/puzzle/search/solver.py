"""Choose one block variant for each layer, under hard budgets, so that the summed scores are best.

A mixed-integer program, solved to a proven optimum (program.py). Budgets and objective are dotted keys of the block
library, "stats.runtime_ms", "metrics.kl_div".
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from tessera.puzzle.search import block_library, program
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.search.program import Program
from tessera.puzzle.search.rows import Row, possible, summed
from tessera.puzzle.search_params import Solver

Limits = Mapping[str, float]
Choice = Mapping[str, str]
NONE: Limits = MappingProxyType({})


@dataclass(frozen=True)
class Solution:
    """A choice of one variant for each layer, or the proof that there is none.

    status: "optimal" (proven, gap 0), "heuristic" (feasible, not proven) or "infeasible". value and costs are sums over
    the layers in exact arithmetic, costs of every budget's key and every common stats key. bound: no choice within the
    budgets is better. relaxation: the bound of the linear relaxation, certified by its multipliers. shadow_prices: what
    one more unit of a budget would better the objective by, to first order. smallest_feasible: if infeasible, the
    value of each limit that would be feasible with the others unchanged; null if there is none.
    """

    choice: dict[str, str]
    value: float | None
    costs: dict[str, float]
    bound: float | None
    status: Literal["optimal", "heuristic", "infeasible"]
    relaxation: float | None = None
    shadow_prices: dict[str, float] = field(default_factory=dict)
    smallest_feasible: dict[str, float | None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def solve(
    library: Library,
    objective: str,
    at_most: Limits = NONE,
    at_least: Limits = NONE,
    bigger_is_better: bool = False,
    different_from: Sequence[Choice] = (),
    min_difference: int = 0,
    solver: Solver = "highs",
) -> Solution:
    """Return the proven best choice of one variant for each layer.

    at_most and at_least are limits on sums over the layers; a key in both is a range. Limits of integers are kept
    exactly, others to 1e-9 of themselves. The choice differs from each of `different_from` in `min_difference` layers
    or more. If several choices are equally good (to 1e-9 of the optimum and of the limited costs), variants that
    another one equals or betters in score and in all limited costs are not used, and the choice with the smallest hash
    is taken: the same for every solver and order of the library. Variants that no optimum can contain, such as absurd
    penalties or sentinels, do not affect tolerances.

    Raises ValueError, naming the entry, if a number is missing, not finite or a negative cost, or a key unknown;
    and naming the key, if a sum over the chosen variants is beyond the range of floats.
    """
    problem = Problem(library, objective, at_most, at_least, bigger_is_better, different_from, min_difference)
    best = program.solve(problem.program, solver)
    if best is None:
        return Solution({}, None, {}, None, "infeasible", smallest_feasible=problem.smallest_feasible(solver))
    sign = -1 if bigger_is_better else 1
    prices = {row.name: price for row, price in zip(problem.limits, best.multipliers, strict=False)}
    choice = problem.choice(best.selection)
    return Solution(
        choice,
        block_library.total(library, choice, objective),
        costs(library, choice, [*at_most, *at_least]),
        sign * best.bound,
        "optimal",
        sign * best.relaxation,
        prices,
    )


def frontier(
    library: Library, objective: str, budget: str, limits: Sequence[float], at_most: Limits = NONE, **options: Any
) -> list[Solution]:
    """Return the proven optimum at each limit of one budget, in the order given; options are solve's."""
    return [solve(library, objective, {**at_most, budget: limit}, **options) for limit in limits]


def diverse(
    library: Library,
    objective: str,
    count: int,
    min_difference: int,
    different_from: Sequence[Choice] = (),
    **options: Any,
) -> list[Solution]:
    """Return up to `count` choices, each the best that differs from all before in min_difference layers or more."""
    solutions: list[Solution] = []
    for _ in range(count):
        earlier = [*different_from, *(s.choice for s in solutions)]
        solution = solve(library, objective, different_from=earlier, min_difference=min_difference, **options)
        if solution.status == "infeasible":
            break
        solutions.append(solution)
    return solutions


def costs(library: Library, choice: Choice, keys: Sequence[str] = ()) -> dict[str, float]:
    """Sums over a choice of the given keys and of every common stats key whose sum a float can hold."""
    sums = {key: block_library.total(library, choice, key) for key in keys}
    for key in set(block_library.common_keys(library)) - sums.keys():
        value = summed([block_library.number(library, layer, variant, key) for layer, variant in choice.items()])
        sums |= {} if math.isinf(value) else {key: value}
    return dict(sorted(sums.items()))


def feasible(library: Library, choice: Choice, at_most: Limits = NONE, at_least: Limits = NONE) -> bool:
    """Whether a choice keeps all limits, by the rule and tolerance of solve."""
    only = {layer: {variant: library[layer][variant]} for layer, variant in choice.items()}
    rows = _rows(only, block_library.layers(only), at_most, at_least)
    return all(row.holds([0] * len(only)) for row in rows)


def choosable(library: Library, at_most: Limits = NONE, at_least: Limits = NONE) -> Library:
    """The part of a library that no single limit rules out; empty if a layer has no such variant.

    A limit rules out a variant that breaks it even if all other layers take what is best for that limit.
    """
    layers = block_library.layers(library)
    names = [sorted(library[layer]) for layer in layers]
    left = possible(_rows(library, layers, at_most, at_least), [list(range(len(vs))) for vs in names]) or []
    return {
        layer: {vs[j]: library[layer][vs[j]] for j in kept}
        for layer, vs, kept in zip(layers, names, left, strict=bool(left))
    }


class Problem:
    """A library and budgets as a program over positions, sorted so that the order of the library does not matter."""

    def __init__(
        self,
        library: Library,
        objective: str,
        at_most: Limits,
        at_least: Limits,
        bigger_is_better: bool = False,
        different_from: Sequence[Choice] = (),
        min_difference: int = 0,
    ) -> None:
        block_library.check(library)
        self.layers = block_library.layers(library)
        self.variants = [sorted(library[layer]) for layer in self.layers]
        self.library = library
        scores = self.table(objective)
        if bigger_is_better:
            scores = [[-s for s in layer] for layer in scores]
        if not 0 <= min_difference <= len(self.layers):
            raise ValueError(f"min_difference = {min_difference}; expected 0 to {len(self.layers)} layers")
        self.limits = _rows(library, self.layers, at_most, at_least)
        self.different_from, self.min_difference = different_from, min_difference
        weights = [[_weight(la, v) for v in vs] for la, vs in zip(self.layers, self.variants, strict=True)]
        self.program = Program(scores, [*self.limits, *self.differences(min_difference)], weights)

    def table(self, key: str) -> list[list[float]]:
        """A number of every variant."""
        return _table(self.library, self.layers, key)

    def differences(self, least: int) -> list[Row]:
        """At most L - least layers as in each earlier choice."""
        rows = []
        for n, earlier in enumerate(self.different_from if least else ()):
            chosen = self.positions(earlier)
            same = [[int(j == c) for j in range(len(vs))] for vs, c in zip(self.variants, chosen, strict=True)]
            rows.append(Row(f"different_from {n}", same, len(self.layers) - least))
        return rows

    def positions(self, choice: Choice) -> list[int]:
        for layer, variants in zip(self.layers, self.variants, strict=True):
            if choice.get(layer) not in variants:
                raise ValueError(f"{layer}: the earlier choice {choice.get(layer)!r} is not a variant of the library")
        return [vs.index(choice[layer]) for layer, vs in zip(self.layers, self.variants, strict=True)]

    def choice(self, selection: Sequence[int]) -> dict[str, str]:
        return {layer: vs[j] for layer, vs, j in zip(self.layers, self.variants, selection, strict=True)}

    def smallest_feasible(self, solver: Solver) -> dict[str, float | None]:
        """For each limit, the nearest value that would be feasible with all others kept."""
        others = self.differences(self.min_difference)
        nearest: dict[str, float | None] = {}
        for k, row in enumerate(self.limits):
            rest = [*self.limits[:k], *self.limits[k + 1 :], *others]
            best = program.solve(Program(row.coefficients, rest, self.program.weights), solver)
            sign = -1 if row.name.startswith("at_least") else 1
            nearest[row.name] = None if best is None or math.isinf(best.value) else sign * best.value
        if others:
            nearest["min_difference"] = self._largest_difference(solver)
        return nearest

    def _largest_difference(self, solver: Solver) -> int | None:
        """By bisection: what is feasible at a difference is feasible at any smaller one."""
        low, high = -1, self.min_difference
        while high - low > 1:
            middle = (low + high) // 2
            rows = [*self.limits, *self.differences(middle)]
            if program.solve(Program(self.program.objective, rows, self.program.weights), solver) is None:
                high = middle
            else:
                low = middle
        return low if low >= 0 else None


def _table(library: Library, layers: Sequence[str], key: str) -> list[list[float]]:
    return [[block_library.number(library, la, variant, key) for variant in sorted(library[la])] for la in layers]


def _rows(library: Library, layers: Sequence[str], at_most: Limits, at_least: Limits) -> list[Row]:
    for name, limits in (("at_most", at_most), ("at_least", at_least)):
        for key, limit in limits.items():
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
                raise ValueError(f"{name} {key} = {limit!r}; expected a finite number")
    rows = [Row(f"at_most {key}", _table(library, layers, key), limit) for key, limit in sorted(at_most.items())]
    for key, limit in sorted(at_least.items()):
        rows.append(Row(f"at_least {key}", [[-c for c in cs] for cs in _table(library, layers, key)], -limit))
    return rows


def _weight(layer: str, variant: str) -> int:
    """26 bits that distinguish equal optima: with probability > 0.9999, one has the least summed weight."""
    return int.from_bytes(hashlib.blake2b(f"{layer}\0{variant}".encode(), digest_size=4).digest()) >> 6
