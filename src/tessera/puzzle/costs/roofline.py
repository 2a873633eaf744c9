"""Lower bounds on time from a datasheet: a kernel takes max(FLOPs / peak, bytes / bandwidth), launches cost nothing."""

from dataclasses import dataclass

from tessera.puzzle.costs.operations import Gemm, Operation, Pass
from tessera.puzzle.costs.params import CostTarget


@dataclass(frozen=True)
class Datasheet:
    """Dense peak FLOP/s by data type, memory bandwidth in bytes/s and memory in bytes, as the maker states them."""

    name: str
    peak: dict[str, float]
    bandwidth: float
    memory: float


DATASHEETS = {
    "h100-sxm": Datasheet("NVIDIA H100 SXM5 80GB", {"bfloat16": 989e12, "fp8": 1979e12}, 3.35e12, 80e9),
    "h200-sxm": Datasheet("NVIDIA H200 SXM 141GB", {"bfloat16": 989e12, "fp8": 1979e12}, 4.8e12, 141e9),
    "a100-sxm": Datasheet("NVIDIA A100 SXM 80GB", {"bfloat16": 312e12}, 2.039e12, 80e9),
}


class Roofline:
    """Prices kernels by a datasheet."""

    def __init__(self, target: CostTarget) -> None:
        self.sheet, self.dtype = DATASHEETS[target.hardware], target.dtype
        self.hardware, self.software = self.sheet.name, "datasheet roofline"

    def price(self, operation: Operation, step: Pass) -> tuple[float, str]:
        """Milliseconds of one kernel in one pass, and their provenance."""
        unquantised = isinstance(operation, Gemm) and not operation.quantised
        peak = self.sheet.peak["bfloat16" if unquantised else self.dtype]
        compute = operation.flops(step) / peak
        return 1e3 * max(compute, operation.traffic(step, self.dtype) / self.sheet.bandwidth), "roofline"
