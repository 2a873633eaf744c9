"""How good the cost model is where kernels were timed, by two tests that set nothing in it.

* Interpolation. Head layouts that were timed, as they would be interpolated from their neighbours.
* Roofline. The database's time of each variant in multiples of the datasheet's bound.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import pandas as pd

from tessera.puzzle.costs.kernel_database import LARGEST_DECODE_BATCH, TIMED_KV_HEADS, KernelDatabase
from tessera.puzzle.costs.operations import CoreAttention, Pass
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.space import FFN, Attention, Space

#: Layouts, batches and contexts at which what is interpolated is compared with what was timed.
QUERY_HEADS = (8, 16, 32, 64)
DECODE = tuple(Pass(batch, 1, past, decode=True) for batch in (16, 64, 256) for past in (512, 1024, 2048))
PREFILL = (Pass(64, 128), Pass(16, 512), Pass(4, 2048), Pass(1, 8192))


def interpolation(pricer: KernelDatabase, head_dims: Sequence[int] = (64, 128)) -> pd.DataFrame:
    """Relative errors of interpolating timed layouts from others; one row per layout and pass."""
    rows = []
    for heads, kv_heads, head_dim in itertools.product(QUERY_HEADS, TIMED_KV_HEADS[1:], head_dims):
        layout = CoreAttention(heads, kv_heads, head_dim)
        if kv_heads >= heads:
            continue
        for step, interpolated, timed in _left_out(pricer, layout):
            row = {
                "heads": heads,
                "kv_heads": kv_heads,
                "head_dim": head_dim,
                "phase": "decode" if step.decode else "prefill",
            }
            row |= {"sequences": step.sequences, "context": step.past + step.tokens}
            rows.append(row | {"timed_ms": timed, "interpolated_ms": interpolated, "error": interpolated / timed - 1})
    return pd.DataFrame(rows).assign(software=pricer.software, dtype=pricer.kv_cache.name)


def interpolation_by_gpu(errors: pd.DataFrame) -> pd.DataFrame:
    """Median and largest absolute error by GPU, dtype and phase; errors have the column `hardware`."""
    by = errors.assign(error=errors.error.abs()).groupby(["hardware", "software", "dtype", "phase"], sort=False).error
    return by.agg(points="size", median="median", largest="max").reset_index()


def _left_out(pricer: KernelDatabase, layout: CoreAttention) -> Iterator[tuple[Pass, float, float]]:
    """Passes, and the milliseconds of the layout as it is interpolated and as it was timed.

    Left out is what was not timed: sizes of heads that a GPU's timings have not, and prefill layouts that lie between
    no two of the same kernel.
    """
    for step in DECODE:
        if step.sequences * layout.kv_heads <= LARGEST_DECODE_BATCH:
            with contextlib.suppress(ValueError):
                yield step, pricer.fold(layout, step), pricer.price(layout, step)[0]
    for step in PREFILL:
        with contextlib.suppress(ValueError):
            yield step, pricer.between(layout, step), pricer.price(layout, step)[0]


def interpolation_summary(errors: pd.DataFrame) -> pd.DataFrame:
    """Median and largest absolute error by software, dtype, phase and head size."""
    by = errors.assign(error=errors.error.abs()).groupby(["software", "dtype", "phase", "head_dim"]).error
    return by.agg(points="size", median="median", largest="max").reset_index()


def paper_space() -> Space:
    """The paper's variants for Llama-3.1-70B."""
    attention = {f"kv{n}": Attention(kind="gqa", kv_heads=n) for n in (4, 2, 1)}
    ffn = {f"ffn{int(100 * width)}": FFN(kind="gated", width=width) for width in (0.875, 0.75, 0.5, 0.25, 0.2, 0.1)}
    return Space(attention=attention | {"linear": Attention(kind="linear")}, ffn=ffn | {"linear": FFN(kind="linear")})


def against_roofline(architecture: Architecture, software: str, dtype: str, workload: Workload) -> pd.DataFrame:
    """Every variant's time by the database in multiples of the datasheet's bound, for prefill and decode."""
    shared = {"hardware": "h100-sxm", "dtype": dtype, "workload": workload}
    database, bound = (
        of_target(architecture, paper_space(), CostTarget.model_validate(settings | shared))
        for settings in ({"source": "kernel-database", "software": software}, {"source": "roofline"})
    )
    keys = ["subblock", "variant"]
    both = database.merge(bound, on=[*keys, "layers"], suffixes=("", "_bound"))
    ratios = {f"{phase}_ratio": both[f"{phase}_ms"] / both[f"{phase}_ms_bound"] for phase in ("prefill", "decode")}
    columns = [
        *keys,
        "software",
        "dtype",
        "prefill_ms",
        "decode_ms",
        "prefill_ms_bound",
        "decode_ms_bound",
        "provenance",
    ]
    return both[columns].assign(**ratios)
