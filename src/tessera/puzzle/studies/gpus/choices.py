"""How one library's child moves between GPUs: the same scores, searched with each GPU's times.

The scores are the parent's. With another shape's times they stand for a library of that shape's: what moves the child
is then the relative times of its variants alone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.search import baselines, block_library, budgets
from tessera.puzzle.search.block_library import Scores
from tessera.puzzle.studies.gpus.params import GpusParams


@dataclass(frozen=True)
class Choice:
    """The child on one GPU, or why there is none.

    times: of each variant of a subblock, in multiples of the parent's layer. layers: how many have each variant.
    """

    hardware: str
    software: str
    dtype: str
    shape: str
    refusal: str | None
    value: float | None
    times: dict[str, dict[str, float]]
    layers: dict[str, dict[str, int]]


def choices(
    scores: Scores,
    shapes: dict[str, Architecture],
    space: Space,
    params: GpusParams,
    track: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> list[Choice]:
    """The child of every shape, GPU and type; track wraps the loop over them, to show progress.

    A shape whose attention a GPU's kernels were not timed for, or a type that it has not, has a refusal.
    """
    every = [(shape, hardware, dtype) for shape in shapes for hardware in params.hardware for dtype in params.dtypes]
    return [_choice(scores, shape, shapes[shape], space, params, *rest) for shape, *rest in track(every)]


def _choice(
    scores: Scores, name: str, shape: Architecture, space: Space, params: GpusParams, hardware: str, dtype: str
) -> Choice:
    target = {"source": "kernel-database", "hardware": hardware, "dtype": dtype, "workload": params.workload}
    try:
        table = of_target(shape, space, CostTarget.model_validate(target))
        library = block_library.make(scores, table)
        limit = {budgets.RUNTIME: budgets.runtime_for_speedup(library, params.speedup)}
        found = baselines.choose(
            "quadratic", library, f"metrics.{params.metric}", limit, {}, generator=np.random.default_rng(0),
            cosine=params.cosine,
        )  # fmt: skip
    except ValueError as error:  # pydantic's too
        words = str(error).splitlines()
        return Choice(hardware, "", dtype, name, words[-1] if len(words) == 1 else words[1].strip(), None, {}, {})
    times = table.set_index(["subblock", "variant"]).runtime_ms
    whole = times["attention", PARENT] + times["ffn", PARENT]
    chosen = [decompose(block) for block in found.choice.values()]
    return Choice(
        hardware,
        table.software.iloc[0],
        dtype,
        name,
        None if found.value is not None else f"no child has {params.speedup:g} times the throughput",
        found.value,
        {place: {str(v): float(ms / whole) for v, ms in times[place].items()} for place in ("attention", "ffn")},
        {
            place: dict(sorted(Counter(block[i] for block in chosen).items()))
            for i, place in enumerate(("attention", "ffn"))
        },
    )
