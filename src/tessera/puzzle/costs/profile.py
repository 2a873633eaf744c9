"""Profile model shapes with random weights on a machine without the checkpoints; writes one table.

The blocks are those of `measured`, in float32, float16 and bfloat16. In fp8 (e4m3) the layers' GEMMs take weights and
inputs of one byte, inputs scaled by their largest value at every call as servers with dynamic per-tensor scaling do;
attention and its KV cache stay in bfloat16, as torch has no fp8 attention, and so does all outside the layers.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from tessera.common import files
from tessera.puzzle.costs import measured
from tessera.puzzle.costs.lookup import NON_BLOCK
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import of_target, table_rows, with_rates
from tessera.puzzle.models.architecture import Architecture, from_config
from tessera.puzzle.models.space import FFN, Attention, Space

_LLAMA = {"model_type": "llama", "rope_theta": 500000.0, "vocab_size": 128256, "num_key_value_heads": 8}
#: Shapes by name, as their published configurations have them.
SHAPES: dict[str, dict[str, Any]] = {
    "smollm2-135m": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
        "rope_theta": 100000.0,
    },
    "llama-3.1-8b": _LLAMA
    | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    "llama-3.1-70b": _LLAMA
    | {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64},
}
WIDTHS = (0.875, 0.75, 0.5, 0.25, 0.2, 0.1)
#: Largest value of float8_e4m3fn, and the multiple of which GEMM sizes must be in it.
LARGEST, MULTIPLE = 448.0, 16


def shape(name: str) -> Architecture:
    """A shape by its name in SHAPES or by the path of a config.json. Raises ValueError, naming the valid ones."""
    if name in SHAPES:
        return from_config(SHAPES[name], name)
    if Path(name).is_file():
        return from_config(files.read_json(name), name)
    raise ValueError(f"shape {name!r}: expected one of {', '.join(SHAPES)}, or the path of a config.json")


def space(architecture: Architecture) -> Space:
    """The paper's variants that the shape allows: divisors of its KV heads, FFN widths, linear maps, no-ops."""
    kv = architecture.num_kv_heads
    attention = {f"kv{n}": Attention(kind="gqa", kv_heads=n) for n in range(kv - 1, 0, -1) if kv % n == 0}
    ffn = {f"ffn{int(100 * width)}": FFN(kind="gated", width=width) for width in WIDTHS}
    return Space(
        attention=attention | {"linear": Attention(kind="linear"), "no_op": Attention(kind="no_op")},
        ffn=ffn | {"linear": FFN(kind="linear"), "no_op": FFN(kind="no_op")},
    )


def profile(architecture: Architecture, variants: Space, device: str, dtype: str, **settings: Any) -> pd.DataFrame:
    """The cost table of `tables.of_target`, measured on device, cpu or cuda, in float32, float16, bfloat16 or fp8.

    settings are workload, threads and repeats of a CostTarget. Raises ValueError if the machine has no such device,
    or torch no such GEMM on it.
    """
    plain = "bfloat16" if dtype == "fp8" else dtype
    target = CostTarget.model_validate({"source": "measured", "hardware": device, "dtype": plain} | settings)
    if dtype != "fp8":
        return of_target(architecture, variants, target)
    _require_fp8(architecture, variants, device)
    rows = table_rows(architecture, variants)
    times, hardware, software = measured.measure(architecture, rows, target, "fp8", in_fp8)
    # Sizes do not depend on the source: those of a source that knows fp8.
    sizes = {"source": "roofline", "hardware": "h100-sxm", "dtype": "fp8", "workload": target.workload}
    table = of_target(architecture, variants, CostTarget.model_validate(sizes))
    for i, row in enumerate(rows):
        for column in ("prefill_ms", "decode_ms", "spread", "provenance"):
            table.loc[i, column] = times[row][column]
    table = table.assign(source="measured", hardware=hardware, software=f"{software}, fp8 GEMMs")
    table["runtime_ms"] = table.prefill_ms + table.decode_ms
    return with_rates(table)


class Float8Linear(nn.Module):
    """A linear map in float8_e4m3fn with one scale for the weight and one for each call's input."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = _quantised(linear.weight.detach())
        self.register_buffer("weight", weight.t())  # (in, out), columns contiguous, as the GEMM wants it
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        rows, scale = _quantised(x.reshape(-1, x.shape[-1]))
        y = torch._scaled_mm(rows, self.weight, scale_a=scale, scale_b=self.scale, bias=self.bias, out_dtype=x.dtype)
        return y.reshape(*x.shape[:-1], -1)


def _quantised(x: Tensor) -> tuple[Tensor, Tensor]:
    scale = (x.abs().amax().to(torch.float32) / LARGEST).clamp_min(1e-12)
    return (x / scale).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn), scale


def in_fp8(module: nn.Module) -> nn.Module:
    """The module with every linear map within it in fp8."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Float8Linear(child))
        else:
            in_fp8(child)
    return module


def _require_fp8(architecture: Architecture, variants: Space, device: str) -> None:
    sizes = {"hidden_size": architecture.hidden_size, "head_dim": architecture.head_dim}
    sizes |= {
        f"channels of {name}": variant.intermediate_size(architecture)
        for name, variant in variants.ffns().items()
        if variant.kind == "gated"
    }
    odd = [f"{name} = {size}" for name, size in sizes.items() if size % MULTIPLE]
    if odd:
        raise ValueError(f"fp8: sizes must be multiples of {MULTIPLE}, but {', '.join(odd)}")
    try:
        with torch.device(device), torch.inference_mode():
            Float8Linear(nn.Linear(64, 64, dtype=torch.bfloat16))(torch.ones(32, 64, dtype=torch.bfloat16))
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        raise ValueError(f"fp8: torch has no such GEMM on {device} ({str(error).splitlines()[0]})") from None


def about(table: pd.DataFrame, name: str, device: str) -> dict[str, Any]:
    """What a table's numbers hold for, in addition to its columns."""
    outside = table[table.subblock == NON_BLOCK].iloc[0]
    facts = {"shape": name} | {key: outside[key] for key in ("hardware", "software", "dtype")}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "cuda": torch.version.cuda,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_gib": properties.total_memory / 2**30,
            "multiprocessors": properties.multi_processor_count,
            "driver": _driver(),
        }
    return facts


def _driver() -> str | None:
    """Version of the kernel's NVIDIA driver, if reported."""
    version = Path("/proc/driver/nvidia/version")
    return version.read_text().splitlines()[0] if version.is_file() else None
