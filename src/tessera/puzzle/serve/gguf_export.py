"""Children as GGUF files, llama.cpp's single-file format: written, and read back to verify them.

Which children have a form, and how llama.cpp counts their layers, is in `gguf_layouts`; names and order of the
parameters are in `gguf_tensors`. Vectors are written in float32, matrices in the types asked for, but in float16 if
that is one of blocks and their rows are not whole blocks: an FFN of 10 % of 1,536 channels has 154, and a block of q8_0
holds 32.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tessera.common import files
from tessera.puzzle.models import variants
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.gguf_layouts import architecture, config_of, layouts
from tessera.puzzle.serve.gguf_tensors import tensors
from tessera.puzzle.serve.gguf_types import EXACT, FILE_TYPES, Types
from tessera.puzzle.serve.gguf_values import kind_of, packed


def metadata(model: LanguageModel, types: Types, name: str, license_name: str | None = None) -> dict[str, Any]:
    """The file's keys but the tokenizer's; layers' counts are arrays. Raises as layouts."""
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    layers, config, kind = layouts(model), config_of(model), architecture(model)
    head_dim = variants.head_dim(config)
    general = {
        "architecture": kind,
        "type": "model",
        "name": name,
        "quantization_version": GGML_QUANT_VERSION,
        "file_type": int(LlamaFileType[FILE_TYPES[types.most]]),
    } | ({"license": license_name} if license_name else {})
    settings = {
        "block_count": len(layers),
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "vocab_size": config.vocab_size,
        "feed_forward_length": [layer.channels for layer in layers],
        "attention.head_count": [layer.heads for layer in layers],
        "attention.head_count_kv": [layer.kv_heads for layer in layers],
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.dimension_count": head_dim,
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
    }
    if config.rope_parameters.get("rope_type") == "linear":
        settings |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(config.rope_parameters["factor"])}
    return {f"general.{k}": v for k, v in general.items()} | {f"{kind}.{k}": v for k, v in settings.items()}


def write(
    model: LanguageModel,
    path: str | Path,
    tokenizer: Mapping[str, Any],
    types: Types = EXACT,
    name: str = "child",
    license_name: str | None = None,
) -> None:
    """Write a child as a GGUF file, the same bytes every time.

    Raises ValueError, naming the layers, if llama.cpp could not compute the child, if the tokenizer has more or fewer
    tokens than the child, or if a pattern of types is in no matrix's name; FileNotFoundError and OSError by the file
    system.
    """
    from gguf import GGUFWriter

    vocabulary = len(tokenizer["tokenizer.ggml.tokens"])
    if vocabulary != model.config.vocab_size:
        raise ValueError(f"the tokenizer has {vocabulary} tokens, the child {model.config.vocab_size}")
    weights = tensors(model)
    types.check([tensor for tensor, value in weights.items() if value.ndim > 1])
    with files.replacing(path) as hidden:
        writer = GGUFWriter(hidden, architecture(model))
        keys = metadata(model, types, name, license_name) | dict(tokenizer)
        for key, value in keys.items():
            if key != "general.architecture":  # the writer's own
                _add(writer, key, value)
        for tensor, value in weights.items():
            kind = kind_of(value, types.of(tensor))
            writer.add_tensor(tensor, packed(value, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _add(writer: Any, key: str, value: Any) -> None:
    """Add a key with the type that llama.cpp reads it as: counts unsigned, other numbers float32, lists as arrays."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_array(key, list(value))


def verify(
    path: str | Path,
    model: LanguageModel,
    tokenizer: Mapping[str, Any],
    types: Types = EXACT,
) -> dict[str, Any]:
    """Read a file back and compare every key and tensor with the child; return what was compared.

    architecture is llama.cpp's, layers its count of them, types the count of matrices of each type; tensors and
    parameters are counts, largest_error that of a matrix's value by its type's rounding, relative to the tensor's
    largest; padding names zeros by llama.cpp's layers. Raises ValueError, naming it, if a key or tensor is missing, too
    many, of another type, or has another value than the child's rounded to its type.
    """
    from gguf import GGMLQuantizationType, GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    for key, expected in (metadata(model, types, "") | dict(tokenizer)).items():
        if key in ("general.name", "general.license"):
            continue
        field = reader.get_field(key)
        value = field.contents() if field else None
        if not _equal(value, expected):
            raise ValueError(f"{path}: {key} is {_short(value)}, the child's is {_short(expected)}")
    wanted, error, parameters = tensors(model), 0.0, 0
    there = {tensor.name: tensor for tensor in reader.tensors}
    if there.keys() != wanted.keys():
        raise ValueError(
            f"{path}: tensors in only one of file and child: {', '.join(sorted(there.keys() ^ wanted.keys()))}"
        )
    kinds: Counter[str] = Counter()
    for name, tensor in there.items():
        exact = wanted[name].to(torch.float32).numpy()
        kind = GGMLQuantizationType(tensor.tensor_type)
        if kind != (expected := kind_of(wanted[name], types.of(name))):
            raise ValueError(f"{path}: {name} is of type {kind.name}, expected {expected.name}")
        value = dequantize(tensor.data, kind)
        if value.shape != exact.shape or not np.array_equal(value, dequantize(packed(wanted[name], kind), kind)):
            raise ValueError(f"{path}: the values of {name} differ from the child's")
        largest = float(np.abs(exact).max())
        error = max(error, float(np.abs(value - exact).max()) / largest if largest else 0.0)
        parameters += exact.size
        kinds[kind.name] += exact.ndim > 1
    layers = layouts(model)
    return {
        "architecture": architecture(model),
        "layers": len(layers),
        "dtype": types.most,
        "types": {name: count for name, count in sorted(kinds.items()) if count},
        "tensors": len(there),
        "parameters": parameters,
        "largest_error": error,
        "padding": {str(i): layout.padding for i, layout in enumerate(layers) if layout.padding},
    }


def _equal(value: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return value is not None and np.float32(value) == np.float32(expected)
    return bool(value == expected)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
