"""How good the cost model is compared with others' measurements: throughputs of Llama-3.1-70B and a child of it.

Both, by their published configurations, are summed from kernels as one GPU of a tensor-parallel group runs them,
all-reduces included; output tokens per second and GPU are compared with NVIDIA's, whose child is another one of the
same family: at the batches assumed for NVIDIA's, and at the best batch and group of those that fit into memory. Nothing
here sets anything in the model. No scheduler, sampling or host time is in the sums, and prompts are read all at once
before the first token is written.
"""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tessera.puzzle.costs import memory, operations
from tessera.puzzle.costs.kernel_database import KernelDatabase
from tessera.puzzle.costs.operations import CoreAttention, Elementwise, Embedding, Gemm, Operation, Pass
from tessera.puzzle.costs.params import Workload
from tessera.puzzle.costs.roofline import DATASHEETS
from tessera.puzzle.models.architecture import Architecture, from_config
from tessera.puzzle.models.space import FFN, Attention

#: Output tokens per second and GPU of Llama-3.1-Nemotron-51B over those of Llama-3.1-70B, on H100 SXM in fp8 under
#: TensorRT-LLM, by tokens read and written [Puzzle, table 2].
PAPER_RATIOS = {
    (128, 128): 2.07,
    (128, 1024): 2.17,
    (128, 2048): 1.76,
    (128, 4096): 2.11,
    (2048, 128): 1.92,
    (2048, 2048): 1.96,
}
#: The throughputs themselves, child's and parent's, where they are stated; the parent on one GPU as NVIDIA announced.
PAPER_THROUGHPUTS = {(128, 1024): (6472.0, 2975.0), (2048, 128): (653.0, 339.0)}
#: Batch and GPUs of a group that NVIDIA's numbers are taken to be of: they are not stated.
ASSUMED = {"child": (256, 1), "parent": (384, 4)}
#: Share of the GPU's memory for weights and KV cache; the rest is for activations and the server.
USABLE_MEMORY = 0.9
BATCHES = (16, 32, 64, 128, 256, 384, 512)
GROUPS = (1, 2, 4, 8)
PARENT, CHILD = "meta-llama--Meta-Llama-3.1-70B", "nvidia--Llama-3_3-Nemotron-Super-49B-v1"
Layer = tuple[int, int]  # KV heads and channels; 0 for nothing


@dataclasses.dataclass(frozen=True)
class Served:
    """A model by its architecture and how many layers it has of each kind."""

    architecture: Architecture
    layers: Mapping[Layer, int]


def served(name: str) -> Served:
    """Return a model whose configuration the package aiconfigurator-core has; a child's has `block_configs`, ffn_mult.

    Raises FileNotFoundError if there is none, and ValueError if a layer is of a kind that is not priced.
    """
    import aiconfigurator_core

    path = Path(aiconfigurator_core.__file__).parent / "model_configs" / f"{name}_config.json"
    config = json.loads(path.read_text())
    blocks = config.get("block_configs")
    if blocks is None:
        shape = from_config(config, path)
        return Served(shape, {(shape.num_kv_heads, shape.intermediate_size): shape.num_layers})
    layers = Counter(_layer(config, block, f"{path}: block_configs[{i}]") for i, block in enumerate(blocks))
    whole = {"num_key_value_heads": max(kv for kv, _ in layers), "intermediate_size": max(f for _, f in layers)}
    shape = from_config(config | {"model_type": "llama"} | whole, path)
    return Served(shape, dict(layers))


def _layer(config: Mapping[str, Any], block: Mapping[str, Any], name: str) -> Layer:
    attention, ffn = block["attention"], block["ffn"]
    if attention.get("replace_with_linear") or ffn.get("replace_with_linear"):
        raise ValueError(f"{name} has a linear map, which is not priced here")
    kv_heads = 0 if attention["no_op"] else config["num_attention_heads"] // attention["n_heads_in_group"]
    # DeciLM states an FFN's width as a multiple: 2/3 of it in hidden sizes, rounded up to 256.
    channels = 0 if ffn["no_op"] else -(-int(2 * ffn["ffn_mult"] * config["hidden_size"] / 3) // 256) * 256
    return kv_heads, channels


def throughput(pricer: KernelDatabase, model: Served, workload: Workload, gpus: int = 1) -> dict[str, float]:
    """Prefill and decode time in ms, output tokens per second and GPU, and memory of one GPU in GiB.

    Heads, channels and the vocabulary are divided among the GPUs. Raises ValueError if a division has a remainder,
    or if the database cannot price a layout.
    """
    shape = model.architecture
    counts = Counter(_sharded(operations.non_block_operations(shape), gpus, split=None))
    reductions = 0
    for (kv_heads, channels), layers in model.layers.items():
        kernels: list[Operation] = []
        if kv_heads:
            _divided(kv_heads, gpus, "KV heads")
            attention = Attention(kind="gqa", kv_heads=kv_heads)
            kernels += _sharded(operations.attention_operations(shape, attention), gpus)
        if channels:
            _divided(channels, gpus, "channels")
            kernels += _sharded(operations.ffn_operations(shape, _ffn(shape, channels)), gpus)
        for kernel in kernels:
            counts[kernel] += layers
        reductions += layers * (bool(kv_heads) + bool(channels)) * (gpus > 1)
    decode = list(operations.decode_passes(workload))
    prefill_ms = sum(
        n * _pass(pricer, counts, reductions, gpus, step) for n, step in operations.prefill_passes(workload)
    )
    growing = {kernel: n for kernel, n in counts.items() if isinstance(kernel, CoreAttention)}
    steady = {kernel: n for kernel, n in counts.items() if kernel not in growing}
    decode_ms = sum(n * pricer.price(kernel, step)[0] for step in decode for kernel, n in growing.items())
    if decode:
        decode_ms += len(decode) * _pass(pricer, steady, reductions, gpus, decode[0])
    seconds = (prefill_ms + decode_ms) / 1e3
    return {
        "prefill_ms": prefill_ms,
        "decode_ms": decode_ms,
        "output_tokens_per_s": workload.batch * workload.decode / seconds / gpus,
        "memory_gib": _memory(model, workload, gpus, pricer.kv_cache.name) / 2**30,
    }


def _workload(batch: int, prefill: int, decode: int) -> Workload:
    return Workload.model_validate({"batch": batch, "prefill": prefill, "decode": decode})


def _pass(pricer: KernelDatabase, counts: Mapping[Operation, int], reductions: int, gpus: int, step: Pass) -> float:
    kernels = sum(n * pricer.price(kernel, step)[0] for kernel, n in counts.items())
    return kernels + (reductions * all_reduce(pricer, step, _hidden(counts), gpus) if reductions else 0.0)


def _hidden(counts: Mapping[Operation, int]) -> int:
    return next(kernel.hidden for kernel in counts if isinstance(kernel, operations.Embedding))


def all_reduce(pricer: KernelDatabase, step: Pass, hidden: int, gpus: int) -> float:
    """Milliseconds of one all-reduce of the hidden states among the GPUs of a group."""
    operation = pricer.operations.CustomAllReduce("all_reduce", 1, hidden, gpus)
    [(_, milliseconds, _, _)] = pricer.engine.evaluate_ops_json(
        pricer.to_json([operation]), is_context=False, batch_size=step.rows, s=1
    )
    return milliseconds


def _sharded(kernels: Sequence[Operation], gpus: int, split: int | None = -1) -> list[Operation]:
    """What one GPU of a group computes of a subblock's kernels: its heads, channels or part of the vocabulary.

    split is the GEMM whose inputs are divided, not its outputs: the last one of a subblock.
    """
    inputs = None if split is None else kernels[split]
    return [_shard(kernel, gpus, kernel is inputs) for kernel in kernels]


def _shard(kernel: Operation, gpus: int, by_inputs: bool) -> Operation:
    match kernel:
        case Gemm(_, k) if by_inputs:
            return dataclasses.replace(kernel, k=_divided(k, gpus, "inputs"))
        case Gemm(n):
            return dataclasses.replace(kernel, n=_divided(n, gpus, "outputs"))
        case CoreAttention(heads, kv_heads):
            heads, kv_heads = _divided(heads, gpus, "num_heads"), _divided(kv_heads, gpus, "num_kv_heads")
            return dataclasses.replace(kernel, heads=heads, kv_heads=kv_heads)
        case Elementwise(read, written) if read != written:  # the activation; norms are computed on every GPU
            return Elementwise(_divided(read, gpus, "channels"), _divided(written, gpus, "channels"))
        case Embedding(vocabulary, hidden):
            return Embedding(_divided(vocabulary, gpus, "vocab_size"), hidden)
    return kernel


def _divided(size: int, gpus: int, what: str) -> int:
    if size % gpus:
        raise ValueError(f"{what} = {size} cannot be divided among {gpus} GPUs")
    return size // gpus


def _ffn(architecture: Architecture, channels: int) -> FFN:
    return FFN(kind="gated", width=channels / architecture.intermediate_size)


def _memory(model: Served, workload: Workload, gpus: int, dtype: str) -> float:
    """Bytes of weights and of the whole batch's KV cache on one GPU."""
    shape = model.architecture
    total = memory.non_block_parameters(shape).bytes(dtype)
    for (kv_heads, channels), layers in model.layers.items():
        if kv_heads:
            attention = Attention(kind="gqa", kv_heads=kv_heads)
            total += layers * memory.parameters(shape, attention).bytes(dtype)
            total += layers * memory.kv_cache_bytes(shape, attention, workload, dtype)
        if channels:
            total += layers * memory.parameters(shape, _ffn(shape, channels)).bytes(dtype)
    return total / gpus


def throughputs(
    pricer: KernelDatabase, parent: Served, child: Served, workloads: Sequence[tuple[int, int]]
) -> pd.DataFrame:
    """Return workloads of the paper, (tokens read, written), one per row, at the assumed batches and the best that fit.

    child and parent are output tokens per second and GPU, ratio their quotient; fits states whether the assumed
    batches do; best_* are of the batch and group with most output tokens per second and GPU among those that fit.
    Raises ValueError if a workload is not one of the paper's.
    """
    rows = []
    for prefill, decode in workloads:
        if (paper := PAPER_RATIOS.get((prefill, decode))) is None:
            valid = ", ".join(f"{p}/{d}" for p, d in PAPER_RATIOS)
            raise ValueError(f"workload {prefill}/{decode} is not one of the paper's: {valid}")
        row: dict[str, Any] = {"prefill": prefill, "decode": decode, "paper_ratio": paper}
        stated = dict(zip(("child", "parent"), PAPER_THROUGHPUTS.get((prefill, decode), (np.nan, np.nan)), strict=True))
        for name, model in (("child", child), ("parent", parent)):
            batch, gpus = ASSUMED[name]
            summed = throughput(pricer, model, _workload(batch=batch, prefill=prefill, decode=decode), gpus)
            row |= {
                name: summed["output_tokens_per_s"],
                f"paper_{name}": stated[name],
                f"{name}_gib": summed["memory_gib"],
            }
            row |= {f"{name}_fits": summed["memory_gib"] * 2**30 <= usable_memory()}
            row |= {f"best_{name}{k}": v for k, v in _best(pricer, model, prefill, decode).items()}
        rows.append(row | {"ratio": row["child"] / row["parent"], "best_ratio": row["best_child"] / row["best_parent"]})
    return pd.DataFrame(rows).assign(software=pricer.software, dtype=pricer.kv_cache.name)


def usable_memory() -> float:
    """Bytes of an H100 that weights and KV cache may take."""
    return USABLE_MEMORY * DATASHEETS["h100-sxm"].memory


def _best(pricer: KernelDatabase, model: Served, prefill: int, decode: int) -> dict[str, float]:
    """The most output tokens per second and GPU of batches and groups that fit, by a sketch of three decode steps.

    Time is nearly linear in the context, so first, middle and last step (Simpson) rank them; the best is summed whole.
    """
    candidates = []
    for batch, gpus in itertools.product(BATCHES, GROUPS):
        workload = _workload(batch=batch, prefill=prefill, decode=decode)
        if _memory(model, workload, gpus, pricer.kv_cache.name) > usable_memory():
            continue
        if any(kv % gpus for kv, _ in model.layers if kv):
            continue
        ms = []
        for past in (prefill, prefill + decode // 2, prefill + decode - 1):
            sketch = throughput(pricer, model, _workload(batch=batch, prefill=past, decode=1), gpus)
            ms.append(sketch["decode_ms"])
        first = throughput(pricer, model, _workload(batch=batch, prefill=prefill, decode=0), gpus)["prefill_ms"]
        total = first + decode * (ms[0] + 4 * ms[1] + ms[2]) / 6
        candidates.append((batch * decode / total / gpus, batch, gpus))
    if not candidates:
        raise ValueError("no batch of this model fits into the GPUs' memory")
    _, batch, gpus = max(candidates)
    summed = throughput(pricer, model, _workload(batch=batch, prefill=prefill, decode=decode), gpus)
    return {"": summed["output_tokens_per_s"], "_batch": batch, "_gpus": gpus}
