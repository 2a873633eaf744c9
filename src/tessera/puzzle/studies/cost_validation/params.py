"""Parameters of the validation of the cost model."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section
from tessera.puzzle.costs.params import Workload


class CostValidationParams(Section):
    """The cost model compared with published throughputs, timed layouts and the datasheet."""

    software: tuple[Literal["trtllm", "vllm", "sglang"], ...] = Field(min_length=1)
    hardware: tuple[str, ...] = Field(
        description="other GPUs on whose timings interpolation is tried, each under its default software"
    )
    dtypes: tuple[Literal["bfloat16", "fp8"], ...] = Field(
        min_length=1, description="of interpolation and roofline; published throughputs are of fp8"
    )
    workloads: tuple[tuple[int, int], ...] = Field(
        min_length=1, description="tokens read and written, of the paper's workloads"
    )
    roofline: Workload = Field(description="workload of the comparison with the datasheet")


SECTIONS = {"cost_validation": CostValidationParams}
