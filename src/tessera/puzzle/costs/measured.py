"""Costs measured on the machine at hand, CPU or CUDA, with the modules that a child consists of; needs only torch.

Weights are random, for time does not depend on them. Each variant is a chain of distinct copies of its subblock, norm
and residual included, each with its own KV cache; `timing` says why. On CUDA a run is one replay of a CUDA graph.
A decode step is timed at the mean context of the workload: exact if time grows linearly with the context.
The cost outside the layers is that of a model without layers, its head applied to the last token of each sequence.
"""

import copy
import dataclasses
import functools
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tessera.common.progress import track
from tessera.puzzle.costs import memory, operations
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.timing import Marginal, Piece, Stopwatch, marginals
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.blocks import attention_spec, ffn_spec, model_spec
from tessera.puzzle.models.model import (
    Attention,
    AttentionSpec,
    FFNSpec,
    KVCache,
    LanguageModel,
    Layer,
    ModelSpec,
    Rotary,
)
from tessera.puzzle.models.space import Space

REPEATS = 15
#: N copies hold this many times the cache, so that reading them in turn finds none of them in it.
OVERFLOW = 1.5
#: Used if the system does not report the size of its last cache.
UNKNOWN_CACHE = 64 * 2**20
Key = tuple[str, str]
Specs = tuple[AttentionSpec, FFNSpec] | None
Run = Callable[[int], object]


def times(architecture: Architecture, space: Space, target: CostTarget) -> tuple[dict[Key, dict], str, str]:
    """Times, spread and provenance of every row, and the names of hardware and software.

    Raises ValueError if the workload cannot be measured or the hardware is not there.
    """
    device = torch.device(target.hardware)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("hardware is 'cuda', but torch finds no CUDA device; expected cpu")
    kinds = {step for _, step in operations.prefill_passes(target.workload)}
    if len(kinds) > 1:
        raise ValueError(
            f"workload: prompts of {target.workload.prefill} tokens in a batch of {target.workload.batch} are read in "
            f"passes of different sizes; to be measured they must be equal: choose max_num_tokens so that a pass takes "
            f"whole prompts, and as many of them as divide the batch"
        )
    with using_threads(target.threads), torch.inference_mode():
        stopwatch, wrap = _clock(device)
        pieces = _pieces(architecture, space, target, device, wrap)
        show = functools.partial(track, description=f"costs on {device.type}")
        times = marginals(pieces, target.repeats or REPEATS, stopwatch, show)
        names = machine(device), software(device)
    return {key: _row(key, target, times) for key in _rows(architecture, space)}, *names


def _rows(architecture: Architecture, space: Space) -> dict[Key, tuple[memory.Parameters, Specs]]:
    """Parameters and module specifications of every row of the table; None for what is outside the layers."""
    no_attention, no_ffn = AttentionSpec("no_op"), FFNSpec("no_op")
    rows: dict[Key, tuple[memory.Parameters, Specs]] = {}
    for name, attention in space.attentions().items():
        parameters = memory.attention_parameters(architecture, attention)
        rows["attention", name] = parameters, (attention_spec(architecture, attention), no_ffn)
    for name, ffn in space.ffns().items():
        parameters = memory.ffn_parameters(architecture, ffn)
        rows["ffn", name] = parameters, (no_attention, ffn_spec(architecture, ffn))
    rows["non_block", "-"] = memory.non_block_parameters(architecture), None
    return rows


def _row(key: Key, target: CostTarget, times: dict[str, Marginal]) -> dict:
    """Times of one row from the marginals of its two pieces; what has none is a no-op."""
    if _name(key, "prefill") not in times:
        return {"prefill_ms": 0.0, "decode_ms": 0.0, "spread": 0.0, "provenance": "nothing to do"}
    prefill = times[_name(key, "prefill")]
    decode = times.get(_name(key, "decode"), Marginal(0.0, 0.0))
    passes = sum(count for count, _ in operations.prefill_passes(target.workload))
    prefill_ms, decode_ms = 1e3 * passes * prefill.seconds, 1e3 * target.workload.decode * decode.seconds
    spread = (prefill_ms * prefill.spread + decode_ms * decode.spread) / (prefill_ms + decode_ms)
    provenance = "measured, upper bound" if prefill.bound or decode.bound else "measured"
    return {"prefill_ms": prefill_ms, "decode_ms": decode_ms, "spread": spread, "provenance": provenance}


def _name(key: Key, phase: str) -> str:
    return f"{'.'.join(key)} {phase}"


def _pieces(
    architecture: Architecture, space: Space, target: CostTarget, device: torch.device, wrap: Callable[[Run], Run]
) -> list[Piece]:
    """The prefill and the decode piece of every variant that does anything, on the same copies of its modules."""
    workload, dtype = target.workload, getattr(torch, target.dtype)
    steps = {"prefill": operations.prefill_passes(workload)[0][1]}
    if workload.decode:
        steps["decode"] = operations.Pass(workload.batch, 1, workload.prefill + (workload.decode - 1) // 2, decode=True)
    spec, capacity = model_spec(architecture), _cache_bytes(device)
    pieces = []
    for key, (parameters, specs) in _rows(architecture, space).items():
        if parameters.count:
            copies = max(1, math.ceil(OVERFLOW * capacity / parameters.bytes(target.dtype)))
            with device:
                runs = _chain(spec, specs, 2 * copies, steps, dtype)
            pieces += [Piece(_name(key, phase), copies, wrap(run)) for phase, run in runs.items()]
    return pieces


def _chain(
    spec: ModelSpec, specs: Specs, copies: int, steps: dict[str, operations.Pass], dtype: torch.dtype
) -> dict[str, Run]:
    """For each phase a function of n that runs one pass through n distinct copies, each layer with its KV cache."""
    if specs is None:
        models = [LanguageModel(dataclasses.replace(spec, layers=())).to(dtype) for _ in range(copies)]
        return {phase: _through_models(models, step) for phase, step in steps.items()}
    layers = [Layer(spec, *specs).to(dtype) for _ in range(copies)]
    sequences = max(step.sequences for step in steps.values())
    context = max(step.past + step.tokens for step in steps.values())
    caches = [_cache(layer, sequences, context, dtype) for layer in layers]
    return {phase: _through_layers(layers, caches, step, spec, dtype) for phase, step in steps.items()}


def _through_models(models: list[LanguageModel], step: operations.Pass) -> Run:
    tokens = torch.randint(models[0].spec.vocab_size, (step.sequences, step.tokens))

    def run(n: int) -> None:
        for model in models[:n]:
            last = model.model(tokens, None, step.past)[:, -1:]
            model.lm_head(model.model.norm(last))

    return run


def _through_layers(
    layers: list[Layer], caches: list[KVCache | None], step: operations.Pass, spec: ModelSpec, dtype: torch.dtype
) -> Run:
    x = torch.randn(step.sequences, step.tokens, spec.hidden_size, dtype=dtype)
    positions = torch.arange(step.past, step.past + step.tokens)[None]
    rotary = Rotary(spec.rope_parameters, spec.head_dim)(positions, dtype)
    views = [_first(cache, step.sequences) for cache in caches]

    def run(n: int) -> None:
        y = x
        for layer, cache in zip(layers[:n], views[:n], strict=True):
            if cache is not None:
                cache.length = step.past
            y = layer(y, rotary, None, cache)

    return run


def _cache(layer: Layer, sequences: int, context: int, dtype: torch.dtype) -> KVCache | None:
    """A cache of the largest batch and context, filled with values as a running model has them."""
    attention = layer.self_attn
    if not isinstance(attention, Attention):
        return None
    cache = KVCache(sequences, attention.num_kv_heads, context, attention.head_dim, torch.empty(0, dtype=dtype))
    cache.keys.normal_()
    cache.values.normal_()
    return cache


def _first(cache: KVCache | None, sequences: int) -> KVCache | None:
    """The cache of the first sequences only, sharing memory."""
    if cache is None:
        return None
    view = copy.copy(cache)
    view.keys, view.values = cache.keys[:sequences], cache.values[:sequences]
    return view


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Compute with `threads` threads, None for torch's choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clock(device: torch.device) -> tuple[Stopwatch, Callable[[Run], Run]]:
    """The stopwatch of a device, and what a run is wrapped in before it is timed."""
    if device.type == "cpu":

        def on_cpu(run: Callable[[], object], loops: int) -> float:
            start = time.perf_counter()
            for _ in range(loops):
                run()
            return (time.perf_counter() - start) / loops

        return on_cpu, lambda run: run

    def on_cuda(run: Callable[[], object], loops: int) -> float:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        for _ in range(loops):
            run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3 / loops

    return on_cuda, _graphs


def _graphs(run: Run) -> Run:
    """Run by CUDA graphs, one for each number of copies, captured at its first use."""
    graphs: dict[int, Any] = {}

    def replay(n: int) -> None:
        if n not in graphs:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    run(n)
            torch.cuda.current_stream().wait_stream(side)
            graphs[n] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graphs[n]):
                run(n)
        graphs[n].replay()

    return replay


def _cache_bytes(device: torch.device) -> int:
    """Size of the last cache before memory."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).L2_cache_size
    sizes = [p.read_text().strip() for p in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    units = {"K": 2**10, "M": 2**20}
    return max((int(s[:-1]) * units[s[-1]] for s in sizes if s[-1:] in units), default=UNKNOWN_CACHE)


def machine(device: torch.device) -> str:
    """Name of the hardware, with the threads in use if it is a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {torch.get_num_threads()} threads"


def software(device: torch.device) -> str:
    """Version of torch, and what it computes with."""
    build = f"CUDA {torch.version.cuda}" if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, {build}"
