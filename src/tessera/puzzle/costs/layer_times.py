"""Costs of subblocks from times of layers, for engines that run whole models alone.

What is timed is a layer with a variant in one place and the parent's subblock in the other, by stacks of N and 2N of
them that overflow the cache (`stacks`, `timing`): its marginal time is (T_2N - T_N) / N. If B(a, f) is that of a layer
of attention a and FFN f, and 0 is nothing, then a subblock costs

    attention a:  B(a, parent) - B(0, parent)
    FFN f:        B(parent, f) - [B(parent, parent) - B(0, parent)]

so that costs add up to what the engine takes for every layer that has the parent's subblock in one place. What is
outside the layers is a stack less its layers.
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from tessera.puzzle.costs import measured, memory
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.costs.tables import Row
from tessera.puzzle.costs.timing import Marginal, first_decile
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention

#: Attention and FFN of a layer.
Pair = tuple[Attention, FFN]
OWN: Pair = (Attention(kind="gqa"), FFN(kind="gated"))
FFN_ALONE: Pair = (Attention(kind="no_op"), OWN[1])
#: A phase, `prefill` or `decode`, of a stack of pairs.
Timed = tuple[Pair, str]
#: Seconds or milliseconds of a subblock or of a sum of several, and their standard error.
Time = tuple[float, float]
#: Decode steps of one sample, about the mean context of the workload.
STEPS = 16


@dataclass(frozen=True)
class Layers:
    """What an engine times: layers by what they are called, copies of each in a stack; and the rows that it cannot."""

    names: Mapping[Pair, str]
    copies: Mapping[Pair, int]
    refused: Mapping[Row, str]


def layers(
    architecture: Architecture,
    rows: Sequence[Row],
    target: CostTarget,
    refusal: Callable[[Architecture, Attention, FFN], str | None],
) -> Layers:
    """The layers that give the costs of rows; refusal tells why an engine cannot run one, None if it can.

    Raises ValueError if it cannot run the parent's.
    """
    if (reason := refusal(architecture, *OWN)) is not None:
        raise ValueError(reason)
    refused = {
        row: reason for row in rows if row.variant and (reason := refusal(architecture, *_pair(row))) is not None
    }
    names = {_pair(row): f"{row.subblock}.{row.name}" for row in rows if row.variant and row not in refused}
    names |= {FFN_ALONE: "attention.no_op", OWN: "parent"}
    return Layers(names, {pair: _copies(architecture, pair, target) for pair in names}, refused)


def costs(
    rows: Sequence[Row],
    timed: Layers,
    blocks: Mapping[Timed, Marginal],
    whole: Mapping[str, Sequence[float]],
    workload: Workload,
) -> dict[Row, dict]:
    """Times, spread and provenance of every row; NaN, with the reason as provenance, of those that were refused.

    blocks are the marginal times of the layers by phase, whole the seconds, by phase, of a stack of the parent's layers
    with all of its vocabulary.
    """

    def row_of(row: Row) -> dict:
        if row in timed.refused:
            return _row({phase: (math.nan, 0.0) for phase in whole}, timed.refused[row])
        if row.variant is None:
            seconds = {phase: _outside(whole[phase], blocks[OWN, phase], timed.copies[OWN]) for phase in whole}
            return _row(_scaled(seconds, workload), "measured")
        bound = any(blocks[_pair(row), phase].bound for phase in whole)
        seconds = {phase: _subblock(row, phase, blocks) for phase in whole}
        return _row(_scaled(seconds, workload), "measured, upper bound" if bound else "measured")

    return {row: row_of(row) for row in rows}


def steps(workload: Workload) -> tuple[int, int]:
    """Decode steps of a sample, and the tokens before them."""
    count = min(STEPS, workload.decode)
    return count, workload.prefill + (workload.decode - count) // 2


def _pair(row: Row) -> Pair:
    """The layer by which a variant is timed: the parent's subblock is in the other place."""
    if isinstance(row.variant, Attention):
        return row.variant, OWN[1]
    return OWN[0], cast(FFN, row.variant)


def _copies(architecture: Architecture, pair: Pair, target: CostTarget) -> int:
    size = sum(memory.parameters(architecture, variant).bytes(target.dtype) for variant in pair)
    return max(1, math.ceil(measured.OVERFLOW * measured.cache_bytes(torch.device(target.hardware)) / size))


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
