"""Types of the matrices in a GGUF file, apart from what writes them: parameters name them without loading torch."""

from typing import Literal

Dtype = Literal["float32", "float16", "bfloat16", "q8_0"]
#: GGUF's names of the types, and of files that are mostly of them.
TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "q8_0": "Q8_0"}
FILE_TYPES: dict[Dtype, str] = {
    "float32": "ALL_F32",
    "float16": "MOSTLY_F16",
    "bfloat16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
}
