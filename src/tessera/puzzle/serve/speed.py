"""Time and memory of whole models, a parent and its children, serving the same workload on a device of this machine.

All models are in one process and take turns step by step, so that other work on the machine meets all alike, and each
reads its weights from memory, for the others have used the cache meanwhile. A speed-up is the median of the ratios
within rounds. Peak memory is that of a fresh process that serves one model.
"""

import datetime
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

from tessera.puzzle.compute import name as device_name
from tessera.puzzle.costs import measured
from tessera.puzzle.costs.operations import MIB
from tessera.puzzle.costs.params import VALID, CostsParams, CostTarget, Workload
from tessera.puzzle.models import architecture, loading
from tessera.puzzle.models.cache import new_cache
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.params import ComputeParams
from tessera.puzzle.serve import llama_cpp

PHASES = ("prefill", "decode", "runtime")
#: Name of the parent among the models that are served.
PARENT = "parent"


def servings(costs: CostsParams, compute: ComputeParams) -> dict[str, CostTarget]:
    """What is served on this machine, by name: the workload of every target measured on it, on its hardware.

    If none is measured by torch, in which every child runs, there is a stand-in that has the name of compute's device,
    or if a target has that, of `torch`: the prompts and decode steps of the first target measured on that device, or
    else of the first one, on a CPU one request at a time in float32, on a GPU its batch in its type (bfloat16 for fp8).
    Raises ValueError if compute asks for a GPU and there is none.
    """
    return costs.timed | by_torch(costs, compute)


def by_torch(costs: CostsParams, compute: ComputeParams) -> dict[str, CostTarget]:
    """Of the servings, those by torch."""
    if costs.measured:
        return costs.measured
    device = device_name(compute)
    target = next((t for t in costs.timed.values() if t.hardware == device), next(iter(costs.targets.values())))
    dtype = target.dtype if target.dtype in VALID["measured"]["dtype"] else "bfloat16"
    same = {"dtype": dtype, "workload": target.workload}
    small: dict[str, Any] = {"dtype": "float32", "workload": target.workload.model_copy(update={"batch": 1})}
    small["threads"] = target.threads
    here = {"source": "measured", "hardware": device} | (small if device == "cpu" else same)
    return {"torch" if device in costs.targets else device: CostTarget.model_validate(here)}


def served(costs: CostsParams, compute: ComputeParams, preferred: str | None = None) -> tuple[str, CostTarget]:
    """One of the servings by torch: the preferred one, or the first if it is not among them. Raises as by_torch."""
    found = by_torch(costs, compute)
    name = preferred if preferred in found else next(iter(found))
    return name, found[name]


def fitted(directories: Iterable[Path], target: CostTarget) -> CostTarget:
    """The target with its batch halved until a GPU holds all models and their KV caches at once.

    A CPU's memory is taken to be enough. Raises OutOfMemoryError if a GPU does not hold a single request.
    """
    if target.hardware != "cuda":
        return target
    models, batch = [load(path, target) for path in directories], target.workload.batch
    while True:
        workload = target.workload.model_copy(update={"batch": batch})
        try:
            _read_prompts(models, workload)
            return target.model_copy(update={"workload": workload})
        except torch.cuda.OutOfMemoryError:
            if batch == 1:
                raise
        batch //= 2
        torch.cuda.empty_cache()


@torch.inference_mode()
def _read_prompts(models: list[LanguageModel], workload: Workload) -> None:
    """Have all models hold their caches at once."""
    running = [serve(model, workload) for model in models]
    for passes in running:
        next(passes)


def load(directory: Path, target: CostTarget) -> LanguageModel:
    """The model of a directory, on the target's hardware and in its type. Raises as loading.load does."""
    return loading.load(directory, target.hardware, getattr(torch, target.dtype)).requires_grad_(False)


def about(target: CostTarget, repeats: int) -> dict[str, Any]:
    """What times are of: hardware, software, data type, workload, rounds, and the date of today."""
    device = torch.device(target.hardware)
    with measured.using_threads(target.threads):
        hardware, software = measured.machine(device), measured.software(device)
    if target.source == "llama.cpp":
        software = llama_cpp.software()
    if target.source == "vllm":
        software = "vLLM"
    return {
        "hardware": hardware,
        "software": software,
        "dtype": target.dtype,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "workload": target.workload.model_dump(),
        "repeats": repeats,
    }


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
    prompts = torch.randint(vocabulary, (workload.batch, workload.prefill), generator=generator).to(model.device)
    cache = new_cache(model.config, workload.prefill + workload.decode)

    def following(tokens: Tensor) -> Tensor:
        step = model.network(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)  # type: ignore[operator]
        return step.logits.argmax(-1)

    tokens = following(prompts)
    yield "prefill"
    for _ in range(workload.decode):
        tokens = following(tokens)
        yield "decode"


def passes(
    models: Mapping[str, LanguageModel],
    target: CostTarget,
    repeats: int,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[dict[str, list[tuple[str, float]]]]:
    """Phase and milliseconds of every forward pass, by round and model: all models take turns pass by pass.

    A round serves the target's workload once; one pass of each model before the first is not counted. track wraps the
    loop over rounds.
    """
    rounds = []
    with measured.using_threads(target.threads), torch.inference_mode():
        for model in models.values():  # warm up
            next(serve(model, target.workload))
        for _ in track(range(repeats)):
            taken: dict[str, list[tuple[str, float]]] = {name: [] for name in models}
            running = {name: serve(model, target.workload) for name, model in models.items()}
            for _ in range(1 + target.workload.decode):
                for name, steps in running.items():
                    start = _now(models[name].device)
                    phase = next(steps)
                    taken[name].append((phase, 1e3 * (_now(models[name].device) - start)))
            rounds.append(taken)
    return rounds


def _now(device: torch.device) -> float:
    """Seconds, once a GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def times(
    models: Mapping[str, LanguageModel],
    target: CostTarget,
    repeats: int,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, Times]:
    """Return every model's times over `repeats` rounds of the target's workload; as `passes` otherwise."""
    by_model = {name: Times([], []) for name in models}
    for taken in passes(models, target, repeats, track):
        for name, of_model in taken.items():
            by_model[name].prefill.append(sum(ms for phase, ms in of_model if phase == "prefill"))
            by_model[name].decode.append(sum(ms for phase, ms in of_model if phase == "decode"))
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
    """MiB of memory that a fresh process needs at most to load a model and serve one batch.

    On a CPU resident memory: process_mib is all of it, interpreter and torch included; model_mib is what is above an
    idle process. On a GPU its memory: process_mib is what torch reserves there, model_mib what tensors take of it.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(_serve_alone, directory, target).result()


def _serve_alone(directory: Path, target: CostTarget) -> dict[str, float]:
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    # The model's code is no part of the model: it is imported here.
    MODEL_FOR_CAUSAL_LM_MAPPING[CONFIG_MAPPING[architecture.read(directory).model_type]]
    idle = peak_resident_mib()
    with measured.using_threads(target.threads), torch.inference_mode():
        for _ in serve(load(directory, target), target.workload):
            pass
    if target.hardware == "cuda":
        return {
            "process_mib": torch.cuda.max_memory_reserved() / MIB,
            "model_mib": torch.cuda.max_memory_allocated() / MIB,
        }
    peak = peak_resident_mib()
    return {"process_mib": peak, "model_mib": peak - idle}


def peak_resident_mib() -> float:
    """Largest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: getrusage there counts the process that this one was forked from
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
