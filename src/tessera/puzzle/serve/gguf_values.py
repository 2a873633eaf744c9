"""Values of tensors as GGUF files hold them: types of blocks, packed and unpacked again."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tessera.puzzle.serve.gguf_types import TYPES, Dtype


def kind_of(value: Tensor, dtype: Dtype) -> Any:
    """The GGUF type that a tensor is written in: float32 of a vector, float16 if its rows are not whole blocks."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    kind = GGMLQuantizationType[TYPES[dtype if value.ndim > 1 else "float32"]]
    block, _ = GGML_QUANT_SIZES[kind]
    return kind if value.shape[-1] % block == 0 else GGMLQuantizationType.F16


def packed(value: Tensor, kind: Any) -> np.ndarray:
    """A tensor's values in a GGUF type."""
    from gguf.quants import quantize

    return quantize(np.ascontiguousarray(value.detach().to("cpu", torch.float32).numpy()), kind)


def rounded(value: Tensor, dtype: Dtype) -> Tensor:
    """A tensor as it is read back from a file of the type, of the same shape, dtype and device."""
    from gguf.quants import dequantize

    kind = kind_of(value, dtype)
    return torch.from_numpy(np.array(dequantize(packed(value, kind), kind))).view(value.shape).to(value)
