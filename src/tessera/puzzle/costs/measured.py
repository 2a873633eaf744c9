"""Costs measured on the machine at hand, CPU or CUDA, with the modules that a child is made of.

Each variant is a chain of distinct copies, which `chains` makes; `timing` says why. On CUDA a run is one replay of a
CUDA graph. A decode step is timed at the mean context of the workload: exact if time grows linearly with the context.
"""

import functools
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tessera.common.progress import track
from tessera.puzzle.costs import operations
from tessera.puzzle.costs.chains import Convert, Pool, Run, chain
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import Row
from tessera.puzzle.costs.timing import Marginal, Piece, Stopwatch, marginals
from tessera.puzzle.models.architecture import Architecture

REPEATS = 15
#: N copies hold this many times the cache, so that reading them in turn finds none of them in it.
OVERFLOW = 1.5
#: Used if the system does not report the size of its last cache.
UNKNOWN_CACHE = 64 * 2**20


def times(architecture: Architecture, rows: Sequence[Row], target: CostTarget) -> tuple[dict[Row, dict], str, str]:
    """Times, spread and provenance of every row, and the names of hardware and software.

    Raises ValueError if the workload cannot be measured or the hardware is not there.
    """
    return measure(architecture, rows, target, target.dtype, lambda module: module)


def measure(
    architecture: Architecture, rows: Sequence[Row], target: CostTarget, dtype: str, convert: Convert
) -> tuple[dict[Row, dict], str, str]:
    """As times; convert is applied to every copy of a subblock's layer, whose weights are then of dtype."""
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
        pieces = _pieces(architecture, rows, target, device, wrap, dtype, convert)
        show = functools.partial(track, description=f"costs on {device.type}")
        times = marginals(pieces, target.repeats or REPEATS, stopwatch, show)
        names = machine(device), software(device)
    return {row: _row(row, target, times) for row in rows}, *names


def _row(row: Row, target: CostTarget, times: dict[str, Marginal]) -> dict:
    """Times of one row from the marginals of its two pieces; what has none is a no-op."""
    if _name(row, "prefill") not in times:
        return {"prefill_ms": 0.0, "decode_ms": 0.0, "spread": 0.0, "provenance": "nothing to do"}
    prefill = times[_name(row, "prefill")]
    decode = times.get(_name(row, "decode"), Marginal(0.0, 0.0))
    passes = sum(count for count, _ in operations.prefill_passes(target.workload))
    prefill_ms, decode_ms = 1e3 * passes * prefill.seconds, 1e3 * target.workload.decode * decode.seconds
    spread = (prefill_ms * prefill.spread + decode_ms * decode.spread) / (prefill_ms + decode_ms)
    provenance = "measured, upper bound" if prefill.bound or decode.bound else "measured"
    return {"prefill_ms": prefill_ms, "decode_ms": decode_ms, "spread": spread, "provenance": provenance}


def _name(row: Row, phase: str) -> str:
    layer = f" of layer {row.layers[0]}" if row.layers and row.layers[0] else ""
    return f"{row.subblock}.{row.name}{layer} {phase}"


def _pieces(
    architecture: Architecture,
    rows: Sequence[Row],
    target: CostTarget,
    device: torch.device,
    wrap: Callable[[Run], Run],
    dtype: str,
    convert: Convert,
) -> list[Piece]:
    """The prefill and the decode piece of every variant that does anything, on the same copies of its modules."""
    workload = target.workload
    steps = {"prefill": operations.prefill_passes(workload)[0][1]}
    if workload.decode:
        steps["decode"] = operations.Pass(workload.batch, 1, workload.prefill + (workload.decode - 1) // 2, decode=True)
    pieces, pool = [], Pool(getattr(torch, target.dtype), device)
    for row in rows:
        if size := row.parameters(architecture).bytes(dtype):
            copies = max(1, math.ceil(OVERFLOW * cache_bytes(device) / size))
            runs = chain(architecture, row, 2 * copies, steps, pool, convert)
            pieces += [Piece(_name(row, phase), copies, wrap(run)) for phase, run in runs.items()]
    return pieces


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


def cache_bytes(device: torch.device) -> int:
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
