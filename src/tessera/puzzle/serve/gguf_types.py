"""What a GGUF file may be of, apart from what writes it: parameters name it without loading torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Dtype = Literal["float32", "float16", "bfloat16", "q8_0", "q5_0", "q4_0", "mxfp4"]
#: GGUF's names of the types, and of files that are mostly of them.
TYPES = {
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "q8_0": "Q8_0",
    "q5_0": "Q5_0",
    "q4_0": "Q4_0",
    "mxfp4": "MXFP4",
}
FILE_TYPES: dict[Dtype, str] = {
    "float32": "ALL_F32",
    "float16": "MOSTLY_F16",
    "bfloat16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
    "q5_0": "MOSTLY_Q5_0",
    "q4_0": "MOSTLY_Q4_0",
    "mxfp4": "MOSTLY_MXFP4_MOE",
}

Architecture = Literal["deci", "openelm"]
#: llama.cpp's architecture whose layers may differ, by model type.
ARCHITECTURES: dict[str, Architecture] = {"llama": "deci", "mistral": "deci", "qwen2": "deci", "qwen3": "openelm"}


@dataclass(frozen=True)
class Types:
    """The type of every matrix: that of the first pattern which its name contains, or else `most`.

    Patterns are regular expressions, as llama-quantize's --tensor-type has them: `ffn_down`, `blk\\.0\\.`. Raises
    ValueError at once for a pattern that is none, or a type that is none.
    """

    most: Dtype
    tensors: Mapping[str, Dtype] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern, dtype in self.tensors.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"tensor type {pattern}={dtype}: {error}; expected a regular expression") from None
            if dtype not in get_args(Dtype):
                raise ValueError(f"tensor type {pattern}={dtype}: expected one of {', '.join(get_args(Dtype))}")

    def of(self, name: str) -> Dtype:
        """The type of the matrix of a GGUF name."""
        return next((dtype for pattern, dtype in self.tensors.items() if re.search(pattern, name)), self.most)

    def check(self, names: list[str]) -> None:
        """Raises ValueError for a pattern that is in none of the names: it is a slip."""
        for pattern in self.tensors:
            if not any(re.search(pattern, name) for name in names):
                raise ValueError(f"tensor type {pattern}: in no name of a matrix; names are such as {names[1]}")


#: Every matrix as it is.
EXACT = Types("float32")
