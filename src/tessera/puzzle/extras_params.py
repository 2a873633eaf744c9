"""Parameters of what accompanies the main chain: export, validation of the cost model, sensitivity of the search."""

from pydantic import Field

from tessera.common.params import Section
from tessera.puzzle.serve.gguf_types import Dtype
from tessera.puzzle.studies.cost_validation.params import CostValidationParams
from tessera.puzzle.studies.sensitivity.params import SensitivityParams


class ExportParams(Section):
    """Children as directories ready to publish."""

    dtype: Dtype = Field(description="type of the matrices in the GGUF file")
    checkpoint: str = Field(pattern="^(float32|float16|bfloat16)$", description="type of the checkpoint's weights")
    license: str = Field(min_length=1, description="the parent's licence, as hubs name it")
    tokenizer_pre: str | None = Field(
        description="llama.cpp's name of the pre-tokenizer, for a parent that is not a GGUF file; null if unknown"
    )


class ExtrasParams(Section):
    """The section `puzzle_extras`."""

    export: ExportParams
    cost_validation: CostValidationParams
    sensitivity: SensitivityParams
