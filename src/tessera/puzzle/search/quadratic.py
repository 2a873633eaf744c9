"""The search with interactions: exchanges that reinforce one another cost more together than their scores say.

    minimise  sum_b s_b + c (A^2 - sum_b r_b^2),      A = sum_b r_b,      over the chosen blocks b

With r_b the root of the score of a block's attention this is, to second order, the KL of a child whose exchanged
attentions change the parent's log-probabilities at a common cosine c (see ../studies/validity). Derived here; the
paper's search is c = 0.

The one square is all that is not linear. Where A is within an interval, A^2 is at least its tangent at any point of it,
so the linear program with the tangent in place of the square bounds what is possible there from below. Branch and bound
over intervals of A is therefore exact, and asks the linear search alone.
"""

import heapq
import itertools
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

from tessera.puzzle.models.space import PARENT, compose, decompose
from tessera.puzzle.search import block_library, solver
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.search.solver import NONE, Choice, Limits, Solution

#: The optimum is proven to this share of itself.
TOLERANCE = 1e-6
#: Key of the linear program's objective, and of the root over which it branches.
TANGENT, ROOT = "metrics.tangent", "metrics.root"


def with_roots(library: Library, objective: str) -> tuple[dict[str, Any], str]:
    """The library with r, the root of what a block's attention scores by itself beyond the parent, and the key of r.

    An exchange that noise made better than the parent counts as none. Raises ValueError, naming the layer and variant,
    if a block's attention is not in the library with the parent's FFN.
    """
    rooted: dict[str, Any] = {}
    for layer, blocks in library.items():
        rooted[layer] = {}
        for name, block in blocks.items():
            alone = compose(decompose(name)[0], PARENT)
            if missing := {alone, compose(PARENT, PARENT)} - blocks.keys():
                raise ValueError(f"{layer}: no variant {missing.pop()!r}, by which the attention of {name!r} is judged")
            attention, parent = (
                block_library.number(library, layer, variant, objective) for variant in (alone, compose(PARENT, PARENT))
            )
            root = {"attention_root": math.sqrt(max(0.0, attention - parent))}
            rooted[layer][name] = {**block, "metrics": {**block["metrics"], **root}}
    return rooted, "metrics.attention_root"


def value(library: Library, choice: Choice, objective: str, root: str, cosine: float) -> float:
    """The objective of a choice; `root` is the key of r."""
    roots = [Fraction(block_library.number(library, layer, variant, root)) for layer, variant in choice.items()]
    scores = Fraction(block_library.total(library, choice, objective))
    return float(scores + Fraction(cosine) * (sum(roots) ** 2 - sum(r * r for r in roots)))


def solve(
    library: Library,
    objective: str,
    root: str,
    cosine: float,
    at_most: Limits = NONE,
    at_least: Limits = NONE,
    **options: Any,
) -> Solution:
    """Return the best choice of one variant for each layer, proven to TOLERANCE of its value; see `search.solve`.

    root is the key of r, none of which is negative; options are search.solve's. `value` and `bound` are those of the
    whole objective; `relaxation` and `shadow_prices` those of the linear program whose tangent touches at the optimum.
    Raises as search.solve, and ValueError if the cosine is negative: then the tangent is no bound.
    """
    if not (cosine >= 0 and math.isfinite(cosine)):
        raise ValueError(f"cosine = {cosine}; expected a finite number, 0 or more")
    names = [(layer, variant) for layer, variants in library.items() for variant in variants]
    roots = {name: block_library.number(library, *name, root) for name in names}
    if negative := [name for name in names if roots[name] < 0]:
        layer, variant = negative[0]
        raise ValueError(f"{layer}, {variant!r}: {root} = {roots[negative[0]]}; expected 0 or more")
    scores = {name: block_library.number(library, *name, objective) for name in names}

    def tangent(part: Library, touch: float) -> Library:
        """Part of the library, with the root and the tangent that touches at A = touch as further numbers."""
        blocks: dict[str, dict[str, Any]] = {layer: {} for layer in part}
        for layer, variants in part.items():
            for variant, block in variants.items():
                r = roots[layer, variant]
                ours = {"tangent": scores[layer, variant] + cosine * r * (2 * touch - r), "root": r}
                blocks[layer][variant] = {**block, "metrics": {**block["metrics"], **ours}}
        return blocks

    def limits(low: float, high: float) -> tuple[Limits, Limits]:
        """The limits, with A from low to high."""
        above, below = ({ROOT: low} if low > 0 else {}), ({ROOT: high} if math.isfinite(high) else {})
        return {**at_most, **below}, {**at_least, **above}

    def total(choice: Choice) -> float:
        return math.fsum(roots[name] for name in choice.items())

    best = solver.solve(tangent(library, 0.0), TANGENT, at_most, at_least, **options)
    if best.status == "infeasible":
        return best
    least, order = value(library, best.choice, objective, root, cosine), itertools.count()
    # Nodes: a bound, its age, the interval of A, where the tangent touches, and what a better choice may take.
    nodes = [(best.bound or -math.inf, next(order), 0.0, math.inf, total(best.choice), library)]
    proven = least
    while nodes:
        proven, _, low, high, touch, part = heapq.heappop(nodes)
        if proven >= (enough := least - TOLERANCE * abs(least)):
            break
        proven, within = least, limits(low, high)
        constant = Fraction(cosine) * Fraction(touch) ** 2
        part = solver.within(tangent(part, touch), TANGENT, Fraction(enough) + constant, *within, **options)
        if not part:
            continue
        answer = solver.solve(part, TANGENT, *within, **options)
        if answer.bound is None:
            continue
        if (found := value(library, answer.choice, objective, root, cosine)) < least:
            best, least = answer, found
        bound, A = answer.bound - float(constant), total(answer.choice)
        middle = (touch + A) / 2
        if low < middle < high:  # else no float is between the two
            for below, above, at in ((low, middle, min(touch, A)), (middle, high, max(touch, A))):
                heapq.heappush(nodes, (bound, next(order), below, above, at, part))
    A = total(best.choice)
    touching = solver.solve(tangent(library, A), TANGENT, at_most, at_least, **options)
    return replace(
        best,
        value=least,
        costs=solver.costs(library, best.choice, [*at_most, *at_least]),
        bound=min(proven, least),
        relaxation=None if touching.relaxation is None else touching.relaxation - cosine * A**2,
        shadow_prices=touching.shadow_prices,
    )
