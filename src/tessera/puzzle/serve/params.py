"""Parameters of the export of children."""

from typing import Self

from pydantic import Field, model_validator

from tessera.common.params import Section
from tessera.puzzle.serve.gguf_types import Dtype, Types


class ExportParams(Section):
    """Children as directories ready to publish."""

    dtype: Dtype = Field(description="type of the matrices in the GGUF file")
    tensor_types: dict[str, Dtype] = Field(
        default={},
        description="types of the matrices whose GGUF name contains a regular expression, first match first, such as "
        "ffn_down: q5_0",
    )
    checkpoint: str = Field(pattern="^(float32|float16|bfloat16)$", description="type of the checkpoint's weights")
    license: str = Field(min_length=1, description="the parent's licence, as hubs name it")
    tokenizer_pre: str | None = Field(
        description="llama.cpp's name of the pre-tokenizer, for a parent that is not a GGUF file; null if unknown"
    )

    @model_validator(mode="after")
    def _patterns_are_regular_expressions(self) -> Self:
        self.types()
        return self

    def types(self) -> Types:
        """The type of every matrix in the GGUF file."""
        return Types(self.dtype, self.tensor_types)
