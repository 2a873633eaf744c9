"""Latency of single tokens: parent and children serve the same workload in turn, token by token."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch

from tessera.puzzle.costs.measured import using_threads
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.speed import serve

PERCENTILES = (50, 90, 99)


def latencies(
    models: Mapping[str, LanguageModel],
    target: CostTarget,
    repeats: int,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every forward pass by model and phase: `prefill`, to the first token; `decode`, one per token.

    All models take turns pass by pass over `repeats` rounds, after one that is not counted; track wraps the loop.
    """
    milliseconds: dict[str, dict[str, list[float]]] = {name: {"prefill": [], "decode": []} for name in models}
    with using_threads(target.threads), torch.inference_mode():
        for model in models.values():  # warm up
            next(serve(model, target.workload))
        for _ in track(range(repeats)):
            running = {name: serve(model, target.workload) for name, model in models.items()}
            for _ in range(1 + target.workload.decode):
                for name, passes in running.items():
                    start = time.perf_counter()
                    phase = next(passes)
                    milliseconds[name][phase].append(1e3 * (time.perf_counter() - start))
    return milliseconds


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99 of milliseconds, interpolated linearly; none if there are no values."""
    return {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES} if values else {}
