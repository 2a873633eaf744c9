"""Cost tables: one row for every variant of each subblock and one for what is outside the layers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from tessera.puzzle.costs import memory, operations
from tessera.puzzle.costs.lookup import ALL, NON_BLOCK
from tessera.puzzle.costs.operations import MIB, Operation, Pass
from tessera.puzzle.costs.params import TIMED, CostTarget, Workload
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention, Space


class Pricer(Protocol):
    """A source that knows kernels: the database or the roofline."""

    hardware: str
    software: str

    def price(self, operation: Operation, step: Pass) -> tuple[float, str]:
        """Milliseconds of one kernel in one pass, and their provenance."""
        ...


def table(
    architecture: Architecture,
    space: Space,
    workload: Workload | Mapping[str, int],
    source: str = "measured",
    *,
    hardware: str,
    dtype: str,
    **settings: Any,
) -> pd.DataFrame:
    """Return the cost table of a parent's variants; see of_target, and CostTarget for the settings."""
    return of_target(
        architecture,
        space,
        CostTarget.model_validate(
            {"source": source, "hardware": hardware, "dtype": dtype, "workload": workload, **settings}
        ),
    )


def of_target(architecture: Architecture, space: Space, target: CostTarget) -> pd.DataFrame:
    """Return the cost table of a hardware and workload.

    Rows: subblock (attention, ffn, non_block) and variant (`-` for non_block). A subblock's cost holds its norm and
    residual; non_block is embedding, final norm and head; a no-op costs nothing. Times are for the whole batch, in ms:
    prefill_ms for all prompts, decode_ms for all decode steps, runtime_ms their sum. Memory in MiB: parameters, and the
    KV cache of the whole batch at full length. prefill_gflop and decode_gbyte are arithmetic and least traffic, and
    prefill_gflops, decode_gbytes what was achieved of each per second. spread is the relative standard error
    of a measured runtime. provenance says where the runtime comes from, by shares. layers says for which layers a row
    holds, as in `0-4 6-10`: a parent whose layers differ has a row for each kind. The other columns say for what. A
    variant that the target's software cannot compute has NaN for times, and the reason as its provenance.

    Raises ValueError if a variant is impossible for the parent or its cost unknown to the source.
    """
    space.check(architecture)
    rows = table_rows(architecture, space)
    if target.source in TIMED:
        from tessera.puzzle.costs import llama_cpp, measured, vllm

        timers: dict[str, Any] = {"measured": measured, "llama.cpp": llama_cpp, "vllm": vllm}
        times, hardware, software = timers[target.source].times(architecture, rows, target)
    else:
        pricer = _pricer(target)
        times = {row: _price(pricer, row.kernels(architecture), target.workload) for row in rows}
        hardware, software = pricer.hardware, pricer.software
    result = pd.DataFrame(
        [
            {"subblock": row.subblock, "variant": row.name}
            | times[row]
            | _sizes(architecture, row, target)
            | {"source": target.source, "hardware": hardware, "software": software, "dtype": target.dtype}
            | target.workload.model_dump()
            | {"layers": row.where(architecture)}
            for row in rows
        ]
    )
    result.insert(4, "runtime_ms", result.prefill_ms + result.decode_ms)
    return with_rates(result)


def with_rates(table: pd.DataFrame) -> pd.DataFrame:
    """The table with what was achieved per second: prefill_gflops and decode_gbytes."""
    for rate, work, time in (
        ("prefill_gflops", "prefill_gflop", "prefill_ms"),
        ("decode_gbytes", "decode_gbyte", "decode_ms"),
    ):
        table[rate] = (1e3 * table[work] / table[time].where(table[time] > 0)).fillna(0.0)
    return table


@dataclass(frozen=True)
class Row:
    """A row of the table: a variant in some layers, which are alike; without variant what is outside the layers."""

    subblock: str
    name: str
    variant: Attention | FFN | None = None
    layers: tuple[int, ...] = ()

    def kernels(self, architecture: Architecture) -> list[Operation]:
        if isinstance(self.variant, Attention):
            return operations.attention_operations(architecture, self.variant, self.layers[0])
        if isinstance(self.variant, FFN):
            return operations.ffn_operations(architecture, self.variant, self.layers[0])
        return operations.non_block_operations(architecture)

    def parameters(self, architecture: Architecture) -> memory.Parameters:
        if self.variant is None:
            return memory.non_block_parameters(architecture)
        return memory.parameters(architecture, self.variant, self.layers[0])

    def where(self, architecture: Architecture) -> str:
        """The layers as text, as in `0-4 6-10`; ALL if the variant costs the same in all of them."""
        if len(self.layers) in (0, architecture.num_layers):
            return ALL
        starts = [i for i in self.layers if i - 1 not in self.layers]
        ends = [i for i in self.layers if i + 1 not in self.layers]
        return " ".join(str(s) if s == e else f"{s}-{e}" for s, e in zip(starts, ends, strict=True))


def table_rows(architecture: Architecture, space: Space) -> list[Row]:
    """The rows of a parent's table: one for each variant, or one for each kind of layer that it can be in."""
    rows = []
    for subblock, named in (("attention", space.attentions()), ("ffn", space.ffns())):
        kinds = architecture.skeleton.kinds(subblock)
        rows += [Row(subblock, name, v, tuple(kind)) for name, v in named.items() for kind in kinds]  # type: ignore[attr-defined]
    return [*rows, Row(NON_BLOCK, "-")]


def _pricer(target: CostTarget) -> Pricer:
    if target.source == "roofline":
        from tessera.puzzle.costs.roofline import Roofline

        return Roofline(target)
    from tessera.puzzle.costs.kernel_database import KernelDatabase

    return KernelDatabase(target)


def _price(pricer: Pricer, kernels: Sequence[Operation], workload: Workload) -> dict[str, Any]:
    """Times of one variant by summing its kernels over every pass of the workload."""
    by_provenance: dict[str, float] = defaultdict(float)
    totals = {"prefill_ms": 0.0, "decode_ms": 0.0}
    passes = [("prefill_ms", n, step) for n, step in operations.prefill_passes(workload)]
    passes += [("decode_ms", 1, step) for step in operations.decode_passes(workload)]
    for phase, count, step in passes:
        for kernel in kernels:
            milliseconds, provenance = pricer.price(kernel, step)
            totals[phase] += count * milliseconds
            by_provenance[provenance] += count * milliseconds
    return totals | {"spread": 0.0, "provenance": shares(by_provenance)}


def shares(by_provenance: Mapping[str, float]) -> str:
    """`84 % interpolated, 16 % silicon`, largest first; `nothing to do` if there is no time at all."""
    total = sum(by_provenance.values())
    ordered = sorted(by_provenance.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) == 1:
        return ordered[0][0]
    return ", ".join(f"{100 * time / total:.2g} % {name}" for name, time in ordered) or "nothing to do"


def _sizes(architecture: Architecture, row: Row, target: CostTarget) -> dict[str, float]:
    workload, kernels, parameters = target.workload, row.kernels(architecture), row.parameters(architecture)
    kv_cache = 0
    if isinstance(row.variant, Attention):
        kv_cache = memory.kv_cache_bytes(architecture, row.variant, workload, target.dtype, row.layers[0])
    flops = sum(n * kernel.flops(step) for n, step in operations.prefill_passes(workload) for kernel in kernels)
    traffic = sum(
        kernel.traffic(step, target.dtype) for step in operations.decode_passes(workload) for kernel in kernels
    )
    parameters_mib, kv_cache_mib = parameters.bytes(target.dtype) / MIB, kv_cache / MIB
    return {
        "parameters": parameters.count,
        "parameters_mib": parameters_mib,
        "kv_cache_mib": kv_cache_mib,
        "memory_mib": parameters_mib + kv_cache_mib,
        "prefill_gflop": flops / 1e9,
        "decode_gbyte": traffic / 1e9,
    }
