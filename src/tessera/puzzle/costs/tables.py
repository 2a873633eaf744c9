"""Cost tables: one row for every variant of each subblock and one for what is outside the layers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from tessera.puzzle.costs import memory, operations
from tessera.puzzle.costs.operations import MIB, Operation, Pass
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import Space, decompose

NON_BLOCK = "non_block"
#: Columns that add up over the layers of a child.
ADDITIVE = (
    "prefill_ms",
    "decode_ms",
    "runtime_ms",
    "parameters",
    "parameters_mib",
    "kv_cache_mib",
    "memory_mib",
    "prefill_gflop",
    "decode_gbyte",
)


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
    of a measured runtime. provenance says where the runtime comes from, by shares. The other columns say for what.

    Raises ValueError if a variant is impossible for the parent or its cost unknown to the source.
    """
    space.check(architecture)
    variants = _variants(architecture, space)
    if target.source == "measured":
        from tessera.puzzle.costs import measured

        times, hardware, software = measured.times(architecture, space, target)
    else:
        pricer = _pricer(target)
        times = {key: _price(pricer, operations_, target.workload) for key, operations_, *_ in variants}
        hardware, software = pricer.hardware, pricer.software
    rows = []
    for (subblock, variant), kernels, parameters, kv_cache in variants:
        rows.append(
            {"subblock": subblock, "variant": variant}
            | times[subblock, variant]
            | _sizes(kernels, parameters, kv_cache(target), target)
            | {"source": target.source, "hardware": hardware, "software": software, "dtype": target.dtype}
            | target.workload.model_dump()
        )
    result = pd.DataFrame(rows)
    result.insert(4, "runtime_ms", result.prefill_ms + result.decode_ms)
    for rate, work, time in (
        ("prefill_gflops", "prefill_gflop", "prefill_ms"),
        ("decode_gbytes", "decode_gbyte", "decode_ms"),
    ):
        result[rate] = (1e3 * result[work] / result[time].where(result[time] > 0)).fillna(0.0)
    return result


def _variants(architecture: Architecture, space: Space) -> list[tuple]:
    """(subblock, variant), its kernels, its parameters and a function of the target for its KV cache, for each row."""

    def none(_: CostTarget) -> int:
        return 0

    rows: list[tuple] = []
    for name, attention in space.attentions().items():

        def kv_cache(target: CostTarget, attention: Any = attention) -> int:
            return memory.kv_cache_bytes(architecture, attention, target.workload, target.dtype)

        kernels = operations.attention_operations(architecture, attention)
        rows.append((("attention", name), kernels, memory.attention_parameters(architecture, attention), kv_cache))
    for name, ffn in space.ffns().items():
        kernels = operations.ffn_operations(architecture, ffn)
        rows.append((("ffn", name), kernels, memory.ffn_parameters(architecture, ffn), none))
    kernels = operations.non_block_operations(architecture)
    rows.append(((NON_BLOCK, "-"), kernels, memory.non_block_parameters(architecture), none))
    return rows


def _pricer(target: CostTarget) -> Pricer:
    if target.source == "roofline":
        from tessera.puzzle.costs.roofline import Roofline

        return Roofline(target)
    from tessera.puzzle.costs.h100_database import H100Database

    return H100Database(target)


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


def _sizes(kernels: Sequence[Operation], parameters: memory.Parameters, kv_cache: int, target: CostTarget) -> dict:
    workload = target.workload
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


def child_cost(table: pd.DataFrame, choice: Sequence[str], non_block: bool = True) -> dict[str, float]:
    """Predicted costs of a child, ADDITIVE columns summed over its layers; choice is ATTENTION+FFN for each layer.

    Raises ValueError, naming the layer, if the table has no such variant.
    """
    indexed = table.set_index(["subblock", "variant"])[list(ADDITIVE)]
    keys: list[tuple[str, str]] = [(NON_BLOCK, "-")] if non_block else []
    for layer, block in enumerate(choice):
        for key in zip(("attention", "ffn"), decompose(block), strict=True):
            if key not in indexed.index:
                valid = ", ".join(indexed.loc[key[0]].index)
                raise ValueError(f"layer {layer}: the cost table has no {key[0]} variant {key[1]!r}; it has {valid}")
            keys.append(key)
    return indexed.loc[keys].sum().to_dict()


def throughput(runtime_ms: float, workload: Workload) -> dict[str, float]:
    """Tokens per second of a batch by both definitions: all tokens (the paper's text), output only (its table 2)."""
    seconds = runtime_ms / 1e3
    return {
        "all_tokens_per_s": workload.batch * (workload.prefill + workload.decode) / seconds,
        "output_tokens_per_s": workload.batch * workload.decode / seconds,
    }
