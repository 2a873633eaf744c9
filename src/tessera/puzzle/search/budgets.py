"""Budgets as people state them: shares of the parent, multiples of its speed, tokens per second."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from tessera.puzzle.costs.params import Workload
from tessera.puzzle.search import block_library
from tessera.puzzle.search.block_library import NON_BLOCK, Library
from tessera.puzzle.search_params import ModelLimits

RUNTIME, MEMORY = "stats.runtime_ms", "stats.memory_mib"


def resolve(library: Library, limits: Mapping[str, float | str], parent: str | None = None) -> dict[str, float]:
    """Turn limits into numbers: "80%" is 80 % of what the parent's blocks sum to, and other text is read as a number.

    Raises ValueError, naming the key, if a limit is neither.
    """
    return {key: _resolved(library, key, limit, parent) for key, limit in limits.items()}


def _resolved(library: Library, key: str, limit: float | str, parent: str | None) -> float:
    if not isinstance(limit, str) or not limit.strip().endswith("%"):
        return _share(key, limit, math.nan)
    return _share(key, limit, block_library.total(library, block_library.parent_choice(library, parent), key))


def _share(key: str, limit: float | str, whole: float) -> float:
    """A limit as a number, where a percentage is one of the whole. Raises ValueError, naming key, if it is neither."""
    if not isinstance(limit, str):
        return limit
    text = limit.strip()
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise ValueError(f"{key} = {limit!r}; expected a number, or a percentage of the parent's such as 80%") from None
    return value * whole / 100 if text.endswith("%") else value


def runtime_for_speedup(library: Library, speedup: float, parent: str | None = None, key: str = RUNTIME) -> float:
    """Milliseconds that the blocks may take at `speedup` times the throughput of the parent's blocks."""
    if not speedup > 0:
        raise ValueError(f"speedup = {speedup}; expected a number > 0")
    return block_library.total(library, block_library.parent_choice(library, parent), key) / speedup


def runtime_for_throughput(
    workload: Mapping[str, Any], tokens_per_s: float, counted: Literal["all", "output"] = "all", outside_ms: float = 0.0
) -> float:
    """Milliseconds that the blocks may take to serve a batch at `tokens_per_s` [paper, App. B].

    workload: batch, prefill, decode. "all" counts batch * (prefill + decode) tokens, as the paper's text does, "output"
    batch * decode, as its table 2. outside_ms, the time of embedding and head, comes off first. Raises ValueError if
    nothing is left.
    """
    if not tokens_per_s > 0:
        raise ValueError(f"tokens_per_s = {tokens_per_s}; expected a number > 0")
    per_sequence = workload["decode"] + (workload["prefill"] if counted == "all" else 0)
    left = 1e3 * workload["batch"] * per_sequence / tokens_per_s - outside_ms
    if left < 0:
        raise ValueError(
            f"tokens_per_s = {tokens_per_s}: embedding and head alone, {outside_ms} ms, are slower than that"
        )
    return left


def of_model(library: Library, limits: ModelLimits, info: Mapping[str, Any]) -> dict[str, float]:
    """What the blocks may cost if the whole model is to keep its limits: stats.runtime_ms, stats.memory_mib or both.

    info is the library's measurement_info. Raises ValueError, naming the limit, if embedding and head alone exceed it.
    """
    parent, outside = block_library.parent_choice(library), info[NON_BLOCK]
    budgets: dict[str, float] = {}
    if limits.throughput is not None:
        budgets[RUNTIME] = runtime_for_throughput(info, limits.throughput, outside_ms=outside["runtime_ms"])
    if limits.speedup is not None:
        whole = block_library.total(library, parent, RUNTIME) + outside["runtime_ms"]
        left = whole / limits.speedup - outside["runtime_ms"]
        if left < 0:
            raise ValueError(
                f"speedup = {limits.speedup:g}: embedding and head, which no child does without, take "
                f"{outside['runtime_ms']:.4g} of the parent's {whole:.4g} ms; expected at most "
                f"{whole / outside['runtime_ms']:.3g}"
            )
        budgets[RUNTIME] = min(left, budgets.get(RUNTIME, left))
    if limits.memory is not None:
        whole = block_library.total(library, parent, MEMORY) + outside["memory_mib"]
        most = _share("memory", limits.memory, whole)
        if most < outside["memory_mib"]:
            raise ValueError(
                f"memory = {limits.memory}: embedding and head, which no child does without, take "
                f"{outside['memory_mib']:.4g} of the parent's {whole:.4g} MiB; expected at least "
                f"{math.ceil(100 * outside['memory_mib'] / whole)}%"
            )
        budgets[MEMORY] = most - outside["memory_mib"]
    return budgets


def speed(runtime_ms: float, parent_ms: float, info: Mapping[str, Any]) -> dict[str, float | None]:
    """Speed of a child whose blocks take runtime_ms, relative to a parent whose blocks take parent_ms.

    Blocks alone, and the whole model with embedding and head; info is a library's measurement_info. Tokens per second
    by both definitions, of all tokens and of output only; null if the blocks take no time at all.
    """
    workload = Workload.model_validate({key: info[key] for key in Workload.model_fields})
    speeds: dict[str, float | None] = {}
    for part, outside in (("blocks", 0.0), ("model", info[NON_BLOCK]["runtime_ms"])):
        child = runtime_ms + outside
        speeds[f"{part}_speedup"] = (parent_ms + outside) / child if child else None
        rates = workload.throughput(child) if child else {"all_tokens_per_s": None, "output_tokens_per_s": None}
        speeds |= {f"{part}_{name}": rate for name, rate in rates.items()}
    return speeds
