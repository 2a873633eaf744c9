"""What the search must beat: other ways to choose one variant for each layer under the same budgets.

Each returns a Solution of status "heuristic", or "infeasible" if this method, though maybe not every method, ends
outside the budgets. Budgets are those of search.solve.
"""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from tessera.puzzle.models.space import Space
from tessera.puzzle.search import block_library, quadratic
from tessera.puzzle.search import solver as search
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.search.solver import NONE, Choice, Limits, Solution
from tessera.puzzle.search_params import Method, Solver


def greedy(
    library: Library, objective: str, at_most: Limits = NONE, at_least: Limits = NONE, bigger_is_better: bool = False
) -> Solution:
    """Layer by layer, the best variant within the layer's equal share of what is left of every budget [paper, F.2.2].

    Layers come in ascending order of the mean score of their variants, the most replaceable first, and what one leaves
    over is shared by those that follow. If nothing fits the share, the variant that exceeds it least is taken.
    Variants that no choice within the budgets can hold are left out first.
    """
    sign = -1 if bigger_is_better else 1
    library = search.choosable(library, at_most, at_least)
    if not library:
        return _infeasible()
    score = {
        layer: {v: sign * block_library.number(library, layer, v, objective) for v in sorted(library[layer])}
        for layer in block_library.layers(library)
    }
    order = sorted(score, key=lambda layer: sum(map(Fraction, score[layer].values())) / len(score[layer]))
    left = dict(at_most)
    choice: dict[str, str] = {}
    for n, layer in enumerate(order):
        share = {key: budget / (len(order) - n) for key, budget in left.items()}
        cost = {v: {k: block_library.number(library, layer, v, k) for k in at_most} for v in score[layer]}

        def excess(variant: str, cost: dict = cost, share: dict = share) -> float:
            over = (max(0.0, c - share[k]) / max(abs(at_most[k]), 1e-300) for k, c in cost[variant].items())
            return max(over, default=0.0)

        choice[layer] = min(score[layer], key=lambda v: (excess(v), score[layer][v]))
        left = {key: budget - cost[choice[layer]][key] for key, budget in left.items()}
    ordered = {layer: choice[layer] for layer in score}
    return _judged(library, ordered, objective, at_most, at_least)


def max_params(
    library: Library,
    objective: str,
    at_most: Limits = NONE,
    at_least: Limits = NONE,
    parameters: str = "stats.parameters",
    solver: Solver = "highs",
) -> Solution:
    """The most parameters within the budgets, whatever they score."""
    most = search.solve(library, parameters, at_most, at_least, bigger_is_better=True, solver=solver)
    if most.status == "infeasible":
        return most
    return _judged(library, most.choice, objective, at_most, at_least)


def homogeneous(
    library: Library, objective: str, at_most: Limits = NONE, at_least: Limits = NONE, bigger_is_better: bool = False
) -> Solution:
    """The best single variant for all layers within the budgets."""
    layers = block_library.layers(library)
    everywhere = sorted(set.intersection(*(set(library[layer]) for layer in layers)))
    uniform = [dict.fromkeys(layers, variant) for variant in everywhere]
    within = [choice for choice in uniform if search.feasible(library, choice, at_most, at_least)]
    sign = -1 if bigger_is_better else 1

    def summed(choice: Choice) -> Fraction:
        numbers = (Fraction(block_library.number(library, layer, v, objective)) for layer, v in choice.items())
        return sign * sum(numbers, Fraction(0))

    best = min(within, key=summed, default=None)
    return _infeasible() if best is None else _judged(library, best, objective, at_most, at_least)


def no_op_only(
    library: Library, objective: str, at_most: Limits = NONE, at_least: Limits = NONE,
    bigger_is_better: bool = False, kept: Iterable[str] = ("parent", "no_op"), solver: Solver = "highs",
) -> Solution:  # fmt: skip
    """The optimum of the smaller space in which each subblock is the parent's or dropped; kept names these variants."""
    part = block_library.no_op_only(library, kept)
    best = search.solve(part, objective, at_most, at_least, bigger_is_better, solver=solver)
    return best if best.status == "infeasible" else replace(best, status="heuristic", bound=None, relaxation=None)


def stock(
    library: Library, objective: str, at_most: Limits, at_least: Limits, space: Space,
    cosine: float = 0.0, solver: Solver = "highs",
) -> Solution:  # fmt: skip
    """The best child whose layers are of one size or dropped as a whole: a plain class of fewer layers.

    Each size has its program, with interactions as quadratic has them; `value` is the best one's.
    """
    rooted, root = quadratic.with_roots(library, objective)
    whole, dropped = space.one_size()
    best = _infeasible()
    for block in whole:
        part = {layer: {v: blocks[v] for v in (block, *dropped) if v in blocks} for layer, blocks in rooted.items()}
        if not all(block in blocks for blocks in part.values()):
            continue
        empty = [dict.fromkeys(part, gone) for gone in dropped if all(gone in blocks for blocks in part.values())]
        found = quadratic.solve(
            part, objective, root, cosine, at_most, at_least, different_from=empty, min_difference=1, solver=solver
        )
        if found.value is not None and (best.value is None or found.value < best.value):
            best = replace(found, status="heuristic", bound=None, relaxation=None)
    return best


def random(
    library: Library,
    objective: str,
    at_most: Limits = NONE,
    at_least: Limits = NONE,
    *,
    generator: np.random.Generator,
    tries: int = 1000,
) -> Solution:
    """A random choice within the budgets.

    Uniform among all feasible choices by rejection: choices are drawn variant by variant, of those that no single
    budget rules out, until one is feasible. After
    `tries` failures the last one is repaired: layers in random order take a random one of their variants that lowers
    the summed relative excess over the budgets, round after round until it is 0, which is no longer uniform. If a round
    lowers nothing the result is infeasible.
    """
    library = search.choosable(library, at_most, at_least)
    if not library:
        return _infeasible()
    layers = block_library.layers(library)
    names = [sorted(library[layer]) for layer in layers]
    bounds = [(key, limit, 1.0) for key, limit in at_most.items()]
    bounds += [(key, limit, -1.0) for key, limit in at_least.items()]
    table = [
        np.array([[sign * block_library.number(library, la, v, key) for v in vs] for key, _, sign in bounds])
        for la, vs in zip(layers, names, strict=True)
    ]
    limits = np.array([sign * limit for _, limit, sign in bounds])
    scale = np.where(limits == 0, 1.0, np.abs(limits))

    def spent(drawn: list[int]) -> np.ndarray:
        """What a choice costs, one number per budget."""
        return np.sum([t[:, j] for t, j in zip(table, drawn, strict=True)], axis=0)

    def excess(costs: np.ndarray) -> np.ndarray:
        """Summed relative excess; costs has the budgets in its first axis."""
        over = (costs.T - limits) / scale
        return np.maximum(over - 1e-12, 0.0).sum(axis=-1)

    for _ in range(tries):
        drawn = [int(generator.integers(len(vs))) for vs in names]
        if not bounds or excess(spent(drawn)) == 0:
            return _judged(library, _named(layers, names, drawn), objective, at_most, at_least)
    lowered = True
    while lowered:
        lowered = False
        for i in generator.permutation(len(layers)):
            now = excess(spent(drawn))
            if now == 0:
                return _judged(library, _named(layers, names, drawn), objective, at_most, at_least)
            others = np.sum([t[:, j] for k, (t, j) in enumerate(zip(table, drawn, strict=True)) if k != i], axis=0)
            better = np.flatnonzero(excess(np.reshape(others, (-1, 1)) + table[i]) < now)
            if better.size:
                drawn[i] = int(generator.choice(better))
                lowered = True
    return _infeasible()


def choose(
    method: Method,
    library: Library,
    objective: str,
    at_most: Limits,
    at_least: Limits,
    *,
    generator: np.random.Generator,
    solver: Solver = "highs",
    cosine: float = 0.0,
    space: Space | None = None,
) -> Solution:
    """The choice of a method by its name.

    Only `random` draws from the generator, `quadratic` and `stock` have the cosine, and `stock` the space, without
    which it raises ValueError.
    """
    if method == "quadratic":
        rooted, root = quadratic.with_roots(library, objective)
        return quadratic.solve(rooted, objective, root, cosine, at_most, at_least, solver=solver)
    if method == "random":
        return random(library, objective, at_most, at_least, generator=generator)
    if method == "greedy":
        return greedy(library, objective, at_most, at_least)
    if method == "homogeneous":
        return homogeneous(library, objective, at_most, at_least)
    if method == "max_params":
        return max_params(library, objective, at_most, at_least, solver=solver)
    if method == "stock":
        if space is None:
            raise ValueError("method stock needs the search space, which says what the blocks are")
        return stock(library, objective, at_most, at_least, space, cosine, solver)
    if method == "no_op_only":
        return no_op_only(library, objective, at_most, at_least, solver=solver)
    return search.solve(library, objective, at_most, at_least, solver=solver)


def _named(layers: list[str], names: list[list[str]], drawn: list[int]) -> dict[str, str]:
    return {layer: vs[j] for layer, vs, j in zip(layers, names, drawn, strict=True)}


def _judged(library: Library, choice: Choice, objective: str, at_most: Limits, at_least: Limits) -> Solution:
    """The choice as a Solution, if it is within the budgets."""
    if not search.feasible(library, choice, at_most, at_least):
        return _infeasible()
    value = block_library.total(library, choice, objective)
    return Solution(dict(choice), value, search.costs(library, choice, [*at_most, *at_least]), None, "heuristic")


def _infeasible() -> Solution:
    return Solution({}, None, {}, None, "infeasible")
