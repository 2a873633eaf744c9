"""Costs from NVIDIA's kernel timings on its GPUs and one of Intel's, which aiconfigurator-core ships and interpolates.

Kernels are assembled as in the package's builder of Llama models (see `operations`). Provenance is the database's own
word for each value: `silicon` (timed, or interpolated by the database on its grid of sizes), `mixed` (prefill
attention: a timed kernel plus modelled rotary positions and cache writes), `empirical` (norms, activation, embedding:
bytes at 80 % of the bandwidth plus 3 us). KV layouts that were never timed we interpolate, and say `interpolated`:

* Decode. Every (sequence, KV head) is an independent problem, so K KV heads and H query heads at batch b are taken as
  1 KV head and H / K query heads at batch b K. Leaving timed layouts out, this errs on an H100 by 2 % at most for
  TensorRT-LLM, 16 % for SGLang, 25 % for vLLM. A line between the neighbouring numbers of KV heads errs by 27 % for
  TensorRT-LLM and more for the others, for time is not linear in them.
* Prefill. The query heads decide, and the batches of the trick above are mostly beyond the timed grid. So: a line
  between the timed numbers of KV heads below and above, with the same query heads. It errs by 3 % at most for
  TensorRT-LLM, 13 % for vLLM and SGLang.

Two kinds of kernel are `modelled` from others. The experts of a mixture: one GEMM with the columns of all experts that
the pass is expected to touch and with the mean number of their rows, which has the same arithmetic and weights. Prefill
attention with a window shorter than the prompt: the time without it, by the share of pairs that are seen. A decode step
with a window is one of a context that is no longer than it.

fp8 is per-tensor dynamic scaling (the database's mode `fp8`, timed) with an fp8 KV cache; the head stays in bfloat16.
"""

import dataclasses
import logging
from functools import lru_cache
from typing import Any

from tessera.puzzle.costs.operations import CoreAttention, Elementwise, Embedding, ExpertsGemm, Gemm, Operation, Pass
from tessera.puzzle.costs.params import CostTarget

#: The database's name of each GPU, and the name that people know.
SYSTEMS = {
    "a100-sxm": ("a100_sxm", "NVIDIA A100 SXM"),
    "h100-sxm": ("h100_sxm", "NVIDIA H100 SXM"),
    "h200-sxm": ("h200_sxm", "NVIDIA H200 SXM"),
    "b200-sxm": ("b200_sxm", "NVIDIA B200 SXM"),
    "b300-sxm": ("b300_sxm", "NVIDIA B300 SXM"),
    "gb200": ("gb200", "NVIDIA GB200"),
    "gb300": ("gb300", "NVIDIA GB300"),
    "l40s": ("l40s", "NVIDIA L40S"),
    "rtx-pro-6000": ("rtx_pro_6000_server", "NVIDIA RTX PRO 6000"),
    "b60": ("b60", "Intel Arc Pro B60"),
}
#: Numbers of KV heads that were timed, in addition to one KV head per query head.
TIMED_KV_HEADS = (1, 2, 4, 8)
#: Largest batch of decode attention that was timed.
LARGEST_DECODE_BATCH = 2048
#: Software that times attention without groups, one KV head for each query head, with another prefill kernel.
APART_WITHOUT_GROUPS = ("sglang",)
#: Software whose fp8 prefill attention computes in bfloat16: no fp8 kernel was timed.
BFLOAT16_PREFILL = ("vllm",)


class KernelDatabase:
    """Prices kernels by the database of one GPU, serving software and data type."""

    def __init__(self, target: CostTarget) -> None:
        logging.getLogger("aiconfigurator_core").setLevel(logging.ERROR)
        from aiconfigurator_core.sdk import common, engine, errors, operations, perf_database
        from aiconfigurator_core.sdk.operations.attention import resolved_lane_order_for_op

        self.backend = backend = target.software_name
        system, name = SYSTEMS[target.hardware]
        self.database: Any = perf_database.get_database(system, backend, "current")
        if self.database is None:
            raise ValueError(f"aiconfigurator-core holds no {system} data for {backend}")
        self.engine = engine.EngineHandle.for_database(self.database)
        self.to_json, self.operations, self.missing = (
            engine.build_ops_json,
            operations,
            errors.PerfDataNotAvailableError,
        )
        self.gemm = common.GEMMQuantMode[target.dtype]
        self.unquantised = common.GEMMQuantMode.bfloat16
        self.kv_cache = common.KVCacheQuantMode[target.dtype]
        self.prefill = common.FMHAQuantMode["bfloat16" if backend in BFLOAT16_PREFILL else target.dtype]
        self.lanes = {
            kind: resolved_lane_order_for_op(self.database, f"_{kind}_attention_data")
            for kind in ("context", "generation")
        }
        self.hardware, self.software = f"{name} (database)", f"{backend} {self.database.version}"
        self._evaluate = lru_cache(maxsize=None)(self._evaluate)  # type: ignore[method-assign]

    def price(self, operation: Operation, step: Pass) -> tuple[float, str]:
        """Milliseconds of one kernel in one pass, and their provenance.

        Raises ValueError, naming what was timed, if the database cannot give a layout.
        """
        if isinstance(operation, CoreAttention):
            return self._windowed(operation, step)
        if isinstance(operation, ExpertsGemm):
            touched = operation.touched(step)
            columns, rows = round(touched * operation.n), max(1, round(step.rows * operation.active / touched))
            return self._evaluate(Gemm(columns, operation.k), Pass(rows, 1, decode=True))[0], "modelled"
        rows = operation.rows(step) if isinstance(operation, Gemm) else step.rows
        return self._evaluate(operation, Pass(rows, 1, decode=True))  # its time depends only on the number of rows

    def _windowed(self, op: CoreAttention, step: Pass) -> tuple[float, str]:
        whole = dataclasses.replace(op, window=None)
        if op.window is None or step.past + step.tokens <= op.window:
            return self._attention(whole, step)
        if step.decode:
            return self._attention(whole, dataclasses.replace(step, past=op.window - 1))
        return self._attention(whole, step)[0] * step.seen(op.window) / step.scores, "modelled"

    def _attention(self, op: CoreAttention, step: Pass) -> tuple[float, str]:
        if op.kv_heads in (*TIMED_KV_HEADS, op.heads):
            return self._evaluate(op, step)
        return (self.fold if step.decode else self.between)(op, step), "interpolated"

    def fold(self, op: CoreAttention, step: Pass) -> float:
        """Milliseconds of decode attention, with the KV heads counted as more sequences of one KV head each."""
        batch = step.sequences * op.kv_heads
        if batch > LARGEST_DECODE_BATCH:
            raise ValueError(
                f"{op.kv_heads} KV heads were never timed and are taken as a batch of {batch} single ones, beyond the "
                f"{LARGEST_DECODE_BATCH} that were; expected a batch of at most {LARGEST_DECODE_BATCH // op.kv_heads}"
            )
        single = CoreAttention(op.heads // op.kv_heads, 1, op.head_dim, op.qk_norm)
        return self._evaluate(single, Pass(batch, 1, step.past, decode=True))[0]

    def between(self, op: CoreAttention, step: Pass) -> float:
        """Milliseconds of prefill attention, on a line between the timed numbers of KV heads below and above."""
        single = () if self.backend in APART_WITHOUT_GROUPS else (op.heads,)
        timed = sorted({n for n in TIMED_KV_HEADS if n < op.heads} | set(single))
        if not timed[0] < op.kv_heads < timed[-1]:
            raise ValueError(
                f"{self.software}: prefill attention of {op.heads} query heads with {op.kv_heads} KV heads was never "
                f"timed and lies between no two layouts of the same kernel; expected 1 to {timed[-1]}"
            )
        low = max(n for n in timed if n < op.kv_heads)
        high = min(n for n in timed if n > op.kv_heads)
        at = [self._evaluate(CoreAttention(op.heads, n, op.head_dim, op.qk_norm), step)[0] for n in (low, high)]
        return at[0] + (at[1] - at[0]) * (op.kv_heads - low) / (high - low)

    def _evaluate(self, operation: Operation, step: Pass) -> tuple[float, str]:
        """What the database says of one kernel."""
        # `s` is the context of a decode step, its own token included, and the new tokens of a prompt.
        s = step.past + 1 if step.decode else step.tokens
        try:
            [(_, milliseconds, _, provenance)] = self.engine.evaluate_ops_json(
                self.to_json([self._theirs(operation, step)]),
                is_context=not step.decode,
                batch_size=step.sequences,
                s=s,
                prefix=0 if step.decode else step.past,
            )
        except self.missing as error:
            raise ValueError(self._refusal(operation, step)) from error
        return milliseconds, provenance

    def _theirs(self, operation: Operation, step: Pass) -> Any:
        """The database's own object for a kernel; its unused scale factors are those of its model builder."""
        make = self.operations
        match operation:
            case Gemm(n, k, quantised):
                return make.GEMM("gemm", 1, n, k, self.gemm if quantised else self.unquantised)
            case Elementwise(read, written):
                return make.ElementWise("elementwise", 1, read, written, 0.8)
            case Embedding(vocabulary, hidden):
                return make.Embedding("embedding", 1, vocabulary, hidden, 0.3)
            case CoreAttention(heads, kv_heads, head_dim, qk_norm, _):
                settings = {"head_size": head_dim, "use_qk_norm": qk_norm}
                if step.decode:
                    theirs = make.GenerationAttention("attention", 1, heads, kv_heads, self.kv_cache, **settings)
                else:
                    theirs = make.ContextAttention(
                        "attention", 1, heads, kv_heads, self.kv_cache, self.prefill, **settings
                    )
                theirs._lane_order = self.lanes["generation" if step.decode else "context"]
                return theirs
        raise TypeError(f"no kernel of the database for {operation!r}")

    def _refusal(self, operation: Operation, step: Pass) -> str:
        where = f"{self.software} on {self.hardware}"
        if isinstance(operation, CoreAttention):
            kind = "decode" if step.decode else "prefill"
            return (
                f"{where}: no {kind} attention was timed for head_dim = {operation.head_dim} with "
                f"{operation.kv_heads} KV heads; timed are head_dim {', '.join(map(str, self._head_dims()))} with "
                f"{', '.join(map(str, TIMED_KV_HEADS))} KV heads or one for each query head"
            )
        return f"{where}: no timing for {operation!r}"

    def _head_dims(self) -> list[int]:
        kind = self.operations.GenerationAttention
        kind.load_data(self.database)
        by_heads = self.database._generation_attention_data[self.kv_cache]
        return sorted({head_dim for layouts in by_heads.values() for head_dim in layouts})
