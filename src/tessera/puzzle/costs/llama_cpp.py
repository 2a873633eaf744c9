"""Costs measured in llama.cpp on the CPU at hand, whatever type the matrices of the GGUF file have.

What is timed are stacks of layers: see `layer_times`. The zeros that a file must hold where a child has nothing are in
the times.
"""

import functools
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch

from tessera.common.progress import track
from tessera.puzzle.costs import layer_times, measured, stacks
from tessera.puzzle.costs.layer_times import OWN, Pair
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.costs.tables import Row
from tessera.puzzle.costs.timing import Piece, marginals
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.serve import llama_cpp
from tessera.puzzle.serve.gguf_types import Types
from tessera.puzzle.serve.llama_cpp import Engine


def times(architecture: Architecture, rows: Sequence[Row], target: CostTarget) -> tuple[dict[Row, dict], str, str]:
    """Times, spread and provenance of every row, and the names of hardware and software.

    A variant that llama.cpp has no form for, such as a window, has NaN for times, and the reason as its provenance.
    Raises ValueError if it has none for the parent.
    """
    timed = layer_times.layers(architecture, rows, target, stacks.refusal)
    names, copies = timed.names, timed.copies
    with measured.using_threads(target.threads):
        hardware = measured.machine(torch.device("cpu"))
    few = min(stacks.FEW_TOKENS, architecture.vocab_size)
    phases, rounds = _phases(target.workload, few), target.repeats or measured.REPEATS
    show = functools.partial(track, description="costs in llama.cpp")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "stack.gguf"

        def engine(pair: Pair, copies: int, vocabulary: int) -> Engine:
            model = stacks.stack(architecture, *pair, copies, vocabulary)
            stacks.write(model, path, Types(target.dtype))  # type: ignore[arg-type]
            return Engine(path, _context(target.workload), target.threads)

        stacked = {(p, n): engine(p, n, few) for p in names for n in (copies[p], 2 * copies[p])}
        pieces = [
            Piece(f"{names[pair]} {phase}", copies[pair], lambda n, pair=pair, run=run: run(stacked[pair, n]))  # type: ignore[misc]
            for pair in names
            for phase, run in phases.items()
        ]
        found = marginals(pieces, rounds, _stopwatch, show)
        stacked.clear()
        whole = engine(OWN, copies[OWN], architecture.vocab_size)
        samples = {phase: [run(whole) for _ in range(rounds)] for phase, run in phases.items()}
    blocks = {(pair, phase): found[f"{names[pair]} {phase}"] for pair in names for phase in phases}
    return layer_times.costs(rows, timed, blocks, samples, target.workload), hardware, llama_cpp.software()


def _phases(workload: Workload, vocabulary: int) -> dict[str, Callable[[Engine], float]]:
    """What is timed in each phase: seconds of reading a prompt of random tokens, and of one decode step."""
    prompt = functools.partial(llama_cpp.prompt, random.Random(0), vocabulary)
    phases = {"prefill": lambda engine: engine.prefill_ms(prompt(workload.prefill)) / 1e3}
    if workload.decode:
        steps, before = layer_times.steps(workload)
        phases["decode"] = lambda engine: engine.step_ms(prompt(before), steps) / 1e3
    return phases


def _context(workload: Workload) -> int:
    """Tokens that an engine must hold: a sample, and the token that comes with a prompt."""
    return workload.prefill + workload.decode + 2


def _stopwatch(run: Callable[[], object], loops: int) -> float:
    """The mean of the seconds that runs of an engine return: its own clock leaves out what serves a request."""
    return statistics.fmean(cast(float, run()) for _ in range(loops))
