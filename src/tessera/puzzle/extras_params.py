"""Parameters of what accompanies the main chain: export, validation of the cost model, sensitivity of the search."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section
from tessera.puzzle.costs.params import Workload
from tessera.puzzle.serve.gguf_types import Dtype


class ExportParams(Section):
    """Children as directories ready to publish."""

    dtype: Dtype = Field(description="type of the matrices in the GGUF file")
    checkpoint: str = Field(pattern="^(float32|float16|bfloat16)$", description="type of the checkpoint's weights")
    license: str = Field(min_length=1, description="the parent's licence, as hubs name it")
    tokenizer_pre: str | None = Field(
        description="llama.cpp's name of the pre-tokenizer, for a parent that is not a GGUF file; null if unknown"
    )


class CostValidationParams(Section):
    """The cost model beside published throughputs, timed layouts and the datasheet."""

    software: tuple[Literal["trtllm", "vllm", "sglang"], ...] = Field(min_length=1)
    dtypes: tuple[Literal["bfloat16", "fp8"], ...] = Field(
        min_length=1, description="of interpolation and roofline; published throughputs are of fp8"
    )
    workloads: tuple[tuple[int, int], ...] = Field(min_length=1, description="tokens read and written, of the paper's")
    roofline: Workload = Field(description="of the comparison with the datasheet")


class SensitivityParams(Section):
    """The search, again and again, with scores drawn within their standard errors."""

    metric: str = Field(description="score whose sum is made least, with its standard error beside it")
    speedups: tuple[float, ...] = Field(min_length=1, description="of the blocks")
    draws: int = Field(ge=2)


class ExtrasParams(Section):
    """The section `puzzle_extras`."""

    export: ExportParams
    cost_validation: CostValidationParams
    sensitivity: SensitivityParams
