"""Time and memory of whole models, a parent and its children, serving the same workload on this machine's CPU.

All models are in one process and take turns step by step, so that other work on the machine meets all alike, and each
reads its weights from memory, for the others have used the cache meanwhile. A speed-up is the median of the ratios
within rounds. Peak memory is that of a fresh process that serves one model.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tessera.puzzle.costs.measured import using_threads
from tessera.puzzle.costs.params import CostsParams, CostTarget, Workload
from tessera.puzzle.models import architecture, loading
from tessera.puzzle.models.cache import new_cache
from tessera.puzzle.models.decoder import LanguageModel

PHASES = ("prefill", "decode", "runtime")
#: Name of the parent among the models that are served.
PARENT = "parent"


def served(costs: CostsParams) -> tuple[str, CostTarget]:
    """Return the name of the first target measured on a CPU, and the target. Raises ValueError if there is none."""
    for name, target in costs.targets.items():
        if (target.source, target.hardware) == ("measured", "cpu"):
            return name, target
    raise ValueError(
        "puzzle.costs.targets: no target has source measured and hardware cpu, whose workload is served; add one"
    )


@dataclass(frozen=True)
class Times:
    """Milliseconds of one batch in every round: all prompts, all decode steps."""

    prefill: list[float]
    decode: list[float]

    @property
    def runtime(self) -> list[float]:
        return [p + d for p, d in zip(self.prefill, self.decode, strict=True)]


def serve(model: LanguageModel, workload: Workload) -> Iterator[str]:
    """Serve one batch, greedily with KV caches; yield the phase, `prefill` or `decode`, after each forward pass.

    The prompts, (B, prefill) random tokens, are read in one pass, which yields the first token; each of the `decode`
    passes that follow yields one more.
    """
    vocabulary = model.config.vocab_size
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(vocabulary, (workload.batch, workload.prefill), generator=generator)
    cache = new_cache(model.config, workload.prefill + workload.decode)

    def following(tokens: Tensor) -> Tensor:
        step = model.network(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)  # type: ignore[operator]
        return step.logits.argmax(-1)

    tokens = following(prompts)
    yield "prefill"
    for _ in range(workload.decode):
        tokens = following(tokens)
        yield "decode"


def times(
    models: Mapping[str, LanguageModel],
    target: CostTarget,
    repeats: int,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, Times]:
    """Return every model's times over `repeats` rounds of the target's workload; track wraps the loop over rounds."""
    by_model = {name: Times([], []) for name in models}
    with using_threads(target.threads), torch.inference_mode():
        for model in models.values():  # warm up
            next(serve(model, target.workload))
        for _ in track(range(repeats)):
            seconds = {name: dict.fromkeys(("prefill", "decode"), 0.0) for name in models}
            running = {name: serve(model, target.workload) for name, model in models.items()}
            for _ in range(1 + target.workload.decode):
                for name, passes in running.items():
                    start = time.perf_counter()
                    phase = next(passes)
                    seconds[name][phase] += time.perf_counter() - start
            for name, phases in seconds.items():
                by_model[name].prefill.append(1e3 * phases["prefill"])
                by_model[name].decode.append(1e3 * phases["decode"])
    return by_model


def summary(times: Times, workload: Workload) -> dict[str, Any]:
    """Medians over rounds: milliseconds (_ms), half their interquartile range (_ms_spread), and tokens per second."""
    numbers: dict[str, Any] = {}
    for phase in PHASES:
        values = getattr(times, phase)
        numbers[f"{phase}_ms"], numbers[f"{phase}_ms_spread"] = middle(values)
    tokens = {
        "prefill": workload.batch * workload.prefill,
        "decode": workload.batch * workload.decode,
        "runtime": workload.batch * (workload.prefill + workload.decode),
    }
    return numbers | {
        f"{phase}_tokens_per_s": 1e3 * tokens[phase] / numbers[f"{phase}_ms"] for phase in PHASES if tokens[phase]
    }


def speedups(parent: Times, child: Times) -> dict[str, Any]:
    """How many times as fast as the parent a child is, by phase: medians of the rounds' ratios, with their _spread."""
    medians: dict[str, Any] = {}
    for phase in PHASES:
        ratios = [p / c for p, c in zip(getattr(parent, phase), getattr(child, phase), strict=True) if c]
        if ratios:
            medians[phase], medians[f"{phase}_spread"] = middle(ratios)
    return medians


def middle(values: list[float]) -> tuple[float, float | None]:
    """Median and half the interquartile range; None for a single value."""
    if len(values) < 2:
        return values[0], None
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return median, (high - low) / 2


def peak_memory(directory: Path, target: CostTarget) -> dict[str, float]:
    """MiB of resident memory that a fresh process needs at most to load a model and serve one batch.

    process_mib is all of it, interpreter and torch included; model_mib is what is above an idle process.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(_serve_alone, directory, target).result()


def _serve_alone(directory: Path, target: CostTarget) -> dict[str, float]:
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    # The model's code is no part of the model: it is imported here.
    MODEL_FOR_CAUSAL_LM_MAPPING[CONFIG_MAPPING[architecture.read(directory).model_type]]
    idle = peak_resident_mib()
    with using_threads(target.threads), torch.inference_mode():
        for _ in serve(loading.load(directory, dtype=getattr(torch, target.dtype)), target.workload):
            pass
    peak = peak_resident_mib()
    return {"process_mib": peak, "model_mib": peak - idle}


def peak_resident_mib() -> float:
    """Largest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: getrusage there counts the process that this one was forked from
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
