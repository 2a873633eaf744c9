"""Latency of single tokens: parent and children serve the same workload in turn, token by token."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.speed import passes

PERCENTILES = (50, 90, 99)


def latencies(
    models: Mapping[str, LanguageModel],
    target: CostTarget,
    repeats: int,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every forward pass by model and phase: `prefill`, to the first token; `decode`, one per token.

    All rounds of `speed.passes` together; track wraps the loop over them.
    """
    milliseconds: dict[str, dict[str, list[float]]] = {name: {"prefill": [], "decode": []} for name in models}
    for taken in passes(models, target, repeats, track):
        for name, of_model in taken.items():
            for phase, ms in of_model:
                milliseconds[name][phase].append(ms)
    return milliseconds


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99 of milliseconds, interpolated linearly; none if there are no values."""
    return {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES} if values else {}
