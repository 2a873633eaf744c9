"""Parameters of the export of children."""

from pydantic import Field

from tessera.common.params import Section
from tessera.puzzle.serve.gguf_types import Dtype


class ExportParams(Section):
    """Children as directories ready to publish."""

    dtype: Dtype = Field(description="type of the matrices in the GGUF file")
    checkpoint: str = Field(pattern="^(float32|float16|bfloat16)$", description="type of the checkpoint's weights")
    license: str = Field(min_length=1, description="the parent's licence, as hubs name it")
    tokenizer_pre: str | None = Field(
        description="llama.cpp's name of the pre-tokenizer, for a parent that is not a GGUF file; null if unknown"
    )
