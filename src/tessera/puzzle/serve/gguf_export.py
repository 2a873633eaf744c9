"""Children as GGUF files, llama.cpp's single-file format, under its architecture `deci` whose layers may differ.

How its layers are counted, and which children have no form, is in `gguf_layouts`.

llama.cpp rotates neighbouring pairs of a head's coordinates where Hugging Face rotates halves, so the rows of the query
and key projections are put in another order. Vectors are written in float32, matrices in the type asked for, but in
float16 if that is one of blocks and their rows are not whole blocks: an FFN of 10 % of 1,536 channels has 154, and a
block of q8_0 holds 32.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tessera.common import files
from tessera.puzzle.models import variants
from tessera.puzzle.models.decoder import LanguageModel, norm_name
from tessera.puzzle.serve.gguf_layouts import Layout, config_of, layouts
from tessera.puzzle.serve.gguf_types import FILE_TYPES, TYPES, Dtype

ARCHITECTURE = "deci"
ROPE_FACTORS = "rope_freqs.weight"
Tensors = dict[str, torch.Tensor]


def tensors(model: LanguageModel) -> Tensors:
    """A child's parameters by GGUF's names, in llama.cpp's order of rows, zeros included. Raises as layouts."""
    config, network, weights = config_of(model), model.network, {}
    weights["token_embd.weight"] = network.get_input_embeddings().weight  # type: ignore[operator]
    weights["output_norm.weight"] = getattr(model.decoder, norm_name(model.decoder)).weight
    if not config.tie_word_embeddings:
        weights["output.weight"] = network.get_output_embeddings().weight  # type: ignore[operator]
    if (factors := rope_factors(config)) is not None:
        weights[ROPE_FACTORS] = factors
    for i, layout in enumerate(layouts(model)):
        parameters = dict(model.module(i).named_parameters())
        block = _attention(config, layout, parameters) | _ffn(config, layout, parameters)
        weights |= {f"blk.{i}.{name}": value for name, value in block.items()}
    return {name: value.detach() for name, value in weights.items()}


def _attention(config: Any, layout: Layout, parameters: Mapping[str, torch.Tensor]) -> Tensors:
    if not layout.heads:
        return {}
    D = config.hidden_size
    if "attention" in layout.padding:
        return {"attn_norm.weight": torch.ones(D), "attn_output.weight": torch.zeros(D, D)}
    weights = {"attn_norm.weight": parameters["input_layernorm.weight"]}
    if not layout.kv_heads:
        return weights | {"attn_output.weight": parameters["self_attn.linear.weight"]}
    heads = {"q": layout.heads, "k": layout.kv_heads}
    for theirs, ours in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("output", "o_proj")):
        for kind in ("weight", "bias"):
            if (value := parameters.get(f"self_attn.{ours}.{kind}")) is not None:
                weights[f"attn_{theirs}.{kind}"] = permute(value, heads[theirs]) if theirs in heads else value
    return weights


def _ffn(config: Any, layout: Layout, parameters: Mapping[str, torch.Tensor]) -> Tensors:
    D, F = config.hidden_size, layout.channels
    if not F:
        return {}
    if "ffn" in layout.padding:
        shapes = {"gate": (F, D), "up": (F, D), "down": (D, F)}
        return {"ffn_norm.weight": torch.ones(D)} | {f"ffn_{n}.weight": torch.zeros(s) for n, s in shapes.items()}
    weights = {"ffn_norm.weight": parameters["post_attention_layernorm.weight"]}
    for name in ("gate", "up", "down"):
        weights |= {
            f"ffn_{name}.{k}": parameters[f"mlp.{name}_proj.{k}"]
            for k in ("weight", "bias")
            if f"mlp.{name}_proj.{k}" in parameters
        }
    return weights


def permute(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows (heads * E, ...) of a projection with row i + E/2 of each head put behind its row i."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def rope_factors(config: Any) -> torch.Tensor | None:
    """What llama.cpp divides each rotary frequency by, (E/2), where scaling is of type llama3; else None."""
    rope, size = config.rope_parameters, variants.head_dim(config)
    if rope.get("rope_type") != "llama3":
        return None
    plain = rope["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    # Long wavelengths are stretched by `factor`, short ones kept, those between are blended.
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * plain / (2 * math.pi)
    blend = ((turns - low) / (high - low)).clamp(0, 1)
    return (plain / (plain * (blend + (1 - blend) / rope["factor"]))).to(torch.float32)


def metadata(model: LanguageModel, dtype: Dtype, name: str, license_name: str | None = None) -> dict[str, Any]:
    """The file's keys but the tokenizer's; layers' counts are arrays. Raises as layouts."""
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    layers, config = layouts(model), config_of(model)
    head_dim = variants.head_dim(config)
    general = {
        "architecture": ARCHITECTURE,
        "type": "model",
        "name": name,
        "quantization_version": GGML_QUANT_VERSION,
        "file_type": int(LlamaFileType[FILE_TYPES[dtype]]),
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
    return {f"general.{k}": v for k, v in general.items()} | {f"{ARCHITECTURE}.{k}": v for k, v in settings.items()}


def write(
    model: LanguageModel,
    path: str | Path,
    tokenizer: Mapping[str, Any],
    dtype: Dtype = "float32",
    name: str = "child",
    license_name: str | None = None,
) -> None:
    """Write a child as a GGUF file, the same bytes every time.

    Raises ValueError, naming the layers, if llama.cpp could not compute the child, or if the tokenizer has more
    or fewer tokens than the child; FileNotFoundError and OSError by the file system.
    """
    from gguf import GGUFWriter

    vocabulary = len(tokenizer["tokenizer.ggml.tokens"])
    if vocabulary != model.config.vocab_size:
        raise ValueError(f"the tokenizer has {vocabulary} tokens, the child {model.config.vocab_size}")
    weights = tensors(model)
    with files.replacing(path) as hidden:
        writer = GGUFWriter(hidden, ARCHITECTURE)
        keys = metadata(model, dtype, name, license_name) | dict(tokenizer)
        for key, value in keys.items():
            if key != "general.architecture":  # the writer's own
                _add(writer, key, value)
        for tensor, value in weights.items():
            kind = _kind(value, dtype)
            writer.add_tensor(tensor, _packed(value, kind), raw_dtype=kind)
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


def _kind(value: torch.Tensor, dtype: Dtype) -> Any:
    """The GGUF type that a tensor is written in."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    kind = GGMLQuantizationType[TYPES[dtype if value.ndim > 1 else "float32"]]
    block, _ = GGML_QUANT_SIZES[kind]
    return kind if value.shape[-1] % block == 0 else GGMLQuantizationType.F16


def _packed(value: torch.Tensor, kind: Any) -> np.ndarray:
    """A tensor's values in a GGUF type."""
    from gguf.quants import quantize

    return quantize(np.ascontiguousarray(value.to(torch.float32).numpy()), kind)


def verify(path: str | Path, model: LanguageModel, tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Read a file back and compare every key and tensor with the child; return what was compared.

    tensors and parameters are counts, largest_error that of a matrix's value by its type's rounding, relative to the
    tensor's largest. Raises ValueError, naming it, if a key or tensor is missing, too many, or has another value
    than the child's rounded to its type.
    """
    from gguf import GGMLQuantizationType, GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(path)
    dtype = next(d for d, kind in FILE_TYPES.items() if _file_type(reader) == kind)
    for key, expected in (metadata(model, dtype, "") | dict(tokenizer)).items():
        if key in ("general.name", "general.license"):
            continue
        field = reader.get_field(key)
        value = field.contents() if field else None
        if not _equal(value, expected):
            raise ValueError(f"{path}: {key} is {_short(value)}, the child's is {_short(expected)}")
    wanted_tensors, error, parameters = tensors(model), 0.0, 0
    there = {tensor.name: tensor for tensor in reader.tensors}
    if there.keys() != wanted_tensors.keys():
        raise ValueError(
            f"{path}: tensors in only one of file and child: {', '.join(sorted(there.keys() ^ wanted_tensors.keys()))}"
        )
    for tensor_name, tensor in there.items():
        exact = wanted_tensors[tensor_name].to(torch.float32).numpy()
        kind = GGMLQuantizationType(tensor.tensor_type)
        if kind != _kind(wanted_tensors[tensor_name], dtype):
            raise ValueError(f"{path}: {tensor_name} is of type {kind.name} in a file of {dtype}")
        value = dequantize(tensor.data, kind)
        if value.shape != exact.shape or not np.array_equal(
            value, dequantize(_packed(wanted_tensors[tensor_name], kind), kind)
        ):
            raise ValueError(f"{path}: the values of {tensor_name} differ from the child's")
        largest = float(np.abs(exact).max())
        error = max(error, float(np.abs(value - exact).max()) / largest if largest else 0.0)
        parameters += exact.size
    padded = {str(i): list(layout.padding) for i, layout in enumerate(layouts(model)) if layout.padding}
    return {"dtype": dtype, "tensors": len(there), "parameters": parameters, "largest_error": error, "padding": padded}


def _file_type(reader: Any) -> str:
    from gguf import LlamaFileType

    field = reader.get_field("general.file_type")
    return LlamaFileType(field.contents()).name if field else "none"


def _equal(value: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return value is not None and np.float32(value) == np.float32(expected)
    return bool(value == expected)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
