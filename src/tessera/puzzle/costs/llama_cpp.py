"""Costs measured in llama.cpp on the CPU at hand, whatever type the matrices of the GGUF file have.

What is timed is a layer with a variant in one place and the parent's subblock in the other, by stacks of N and 2N of
them that overflow the cache (`stacks`, `timing`): its marginal time is (T_2N - T_N) / N. If B(a, f) is that of a layer
of attention a and FFN f, and 0 is nothing, then a subblock costs

    attention a:  B(a, parent) - B(0, parent)
    FFN f:        B(parent, f) - [B(parent, parent) - B(0, parent)]

so that costs add up to what llama.cpp takes for every layer that has the parent's subblock in one place. The zeros that
a file must hold where a child has nothing are in them. What is outside the layers is a stack less its layers.
"""

import functools
import math
import random
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch

from tessera.common.progress import track
from tessera.puzzle.costs import measured, memory, stacks
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.costs.tables import Row
from tessera.puzzle.costs.timing import Marginal, Piece, first_decile, marginals
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention
from tessera.puzzle.serve import llama_cpp
from tessera.puzzle.serve.gguf_types import Types
from tessera.puzzle.serve.llama_cpp import Engine

#: Decode steps of one sample, about the mean context of the workload.
STEPS = 16

#: Attention and FFN of a layer.
Pair = tuple[Attention, FFN]
OWN: Pair = (Attention(kind="gqa"), FFN(kind="gated"))
FFN_ALONE: Pair = (Attention(kind="no_op"), OWN[1])
#: A phase, `prefill` or `decode`, of a stack of pairs.
Timed = tuple[Pair, str]
#: Milliseconds of a subblock or of a sum of several, and their standard error.
Time = tuple[float, float]


def times(architecture: Architecture, rows: Sequence[Row], target: CostTarget) -> tuple[dict[Row, dict], str, str]:
    """Times, spread and provenance of every row, and the names of hardware and software.

    A variant that llama.cpp has no form for, such as a window, has NaN for times, and the reason as its provenance.
    Raises ValueError if it has none for the parent.
    """
    if (reason := stacks.refusal(architecture, *OWN)) is not None:
        raise ValueError(reason)
    with measured.using_threads(target.threads):
        hardware = measured.machine(torch.device("cpu"))
    refused = {
        row: reason for row in rows if row.variant and (reason := stacks.refusal(architecture, *_pair(row))) is not None
    }
    names = {_pair(row): f"{row.subblock}.{row.name}" for row in rows if row.variant and row not in refused}
    names |= {FFN_ALONE: "attention.no_op", OWN: "parent"}
    copies = {pair: _copies(architecture, pair, target) for pair in names}
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

    def row_of(row: Row) -> dict:
        if row in refused:
            return _row({phase: (math.nan, 0.0) for phase in phases}, refused[row])
        if row.variant is None:
            seconds = {phase: _outside(samples[phase], blocks[OWN, phase], copies[OWN]) for phase in phases}
            return _row(_scaled(seconds, target.workload), "measured")
        bound = any(blocks[_pair(row), phase].bound for phase in phases)
        seconds = {phase: _subblock(row, phase, blocks) for phase in phases}
        return _row(_scaled(seconds, target.workload), "measured, upper bound" if bound else "measured")

    return {row: row_of(row) for row in rows}, hardware, llama_cpp.software()


def _pair(row: Row) -> Pair:
    """The layer by which a variant is timed: the parent's subblock is in the other place."""
    if isinstance(row.variant, Attention):
        return row.variant, OWN[1]
    return OWN[0], cast(FFN, row.variant)


def _copies(architecture: Architecture, pair: Pair, target: CostTarget) -> int:
    size = sum(memory.parameters(architecture, variant).bytes(target.dtype) for variant in pair)
    return max(1, math.ceil(measured.OVERFLOW * measured.cache_bytes(torch.device("cpu")) / size))


def _phases(workload: Workload, vocabulary: int) -> dict[str, Callable[[Engine], float]]:
    """What is timed in each phase: seconds of reading a prompt of random tokens, and of one decode step."""
    prompt = functools.partial(llama_cpp.prompt, random.Random(0), vocabulary)
    phases = {"prefill": lambda engine: engine.prefill_ms(prompt(workload.prefill)) / 1e3}
    if workload.decode:
        steps, before = _steps(workload)
        phases["decode"] = lambda engine: engine.step_ms(prompt(before), steps) / 1e3
    return phases


def _steps(workload: Workload) -> tuple[int, int]:
    """Decode steps of a sample, and the tokens before them."""
    steps = min(STEPS, workload.decode)
    return steps, workload.prefill + (workload.decode - steps) // 2


def _context(workload: Workload) -> int:
    """Tokens that an engine must hold: a sample, and the token that comes with a prompt."""
    return workload.prefill + workload.decode + 2


def _stopwatch(run: Callable[[], object], loops: int) -> float:
    """The mean of the seconds that runs of an engine return: its own clock leaves out what serves a request."""
    return statistics.fmean(cast(float, run()) for _ in range(loops))


def _subblock(row: Row, phase: str, blocks: Mapping[Timed, Marginal]) -> Time:
    """Seconds of a subblock in one pass: that of its layer less that of the parent's other subblock."""
    parts = Counter({_pair(row): 1})
    parts.update({FFN_ALONE: -1} if isinstance(row.variant, Attention) else {OWN: -1, FFN_ALONE: 1})
    return _sum({pair: (count, blocks[pair, phase]) for pair, count in parts.items()}.values())


def _outside(samples: Sequence[float], own: Marginal, copies: int) -> Time:
    """Seconds outside the layers in one pass: a stack of the parent's vocabulary less its layers."""
    error = statistics.stdev(samples) / math.sqrt(len(samples))
    seconds, of_layers = _sum([(-(1 + copies), own)])
    return first_decile(samples) + seconds, math.hypot(error, of_layers)


def _sum(parts: Iterable[tuple[int, Marginal]]) -> Time:
    """Marginals, each so many times."""
    each = [(count * part.seconds, count * part.seconds * part.spread) for count, part in parts]
    return sum(seconds for seconds, _ in each), math.hypot(*(error for _, error in each))


def _scaled(seconds: Mapping[str, Time], workload: Workload) -> dict[str, Time]:
    """Milliseconds of all passes of each phase, none if a difference of what is timed is lost in its noise."""
    passes = {"prefill": 1e3, "decode": 1e3 * workload.decode}
    return {phase: (max(0.0, passes[phase] * s), passes[phase] * error) for phase, (s, error) in seconds.items()}


def _row(phases: Mapping[str, Time], provenance: str) -> dict:
    (prefill, of_prefill), (decode, of_decode) = phases["prefill"], phases.get("decode", (0.0, 0.0))
    total = prefill + decode
    spread = math.hypot(of_prefill, of_decode) / total if total else 0.0
    provenance = provenance if total else "nothing to do"
    return {"prefill_ms": prefill, "decode_ms": decode, "spread": spread, "provenance": provenance}
