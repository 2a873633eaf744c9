"""Models read as transformers reads them, parents and children alike; what it would only warn of is refused."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from tessera.common import files
from tessera.puzzle.models import modeling_child, placement
from tessera.puzzle.models.decoder import LanguageModel

#: Key of a child's config.json that describes its layers.
BLOCKS = "puzzle_blocks"
#: What transformers reports that it did with weights, and what that means.
REPORTED = {
    "missing_keys": "has no weights for",
    "unexpected_keys": "has weights that the model does not use:",
    "mismatched_keys": "has weights of another shape than config.json says:",
    "error_msgs": "cannot be read:",
}
#: Functions of transformers whose warnings say nothing of the weights: token ids are checked here, the file of
#: generation settings does not change the model, activations warn of faster kernels that are not installed.
HARMLESS = {"validate_token_ids", "generation/configuration_utils.py", "activations.py"}


def load(
    directory: str | Path,
    device: torch.device | str | Sequence[torch.device] = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LanguageModel:
    """Return the model of a Hugging Face directory, parent or child; its weights require no gradient.

    It is on a device, or spread over several (see `placement`).

    Raises FileNotFoundError and ValueError, in one line that names the file, if transformers raises, warns, draws
    random weights or leaves weights out. No code of the directory is run: a child's class is this package's own.
    """
    directory = Path(directory)
    config = read_config(directory)
    for path in weight_files(directory):
        check_header(path)
    # Weights of another shape are then in the report, and refused.
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "ignore_mismatched_sizes": True}
    model = from_pretrained(_class(config), directory, directory, config=config, local_files_only=True, **options)
    devices = [torch.device(device)] if isinstance(device, torch.device | str) else device
    return placement.place(model, devices)


def from_pretrained(cls: Any, source: Path, directory: Path, **options: Any) -> LanguageModel:
    """What transformers makes of a directory; source is named in errors. Raises as `load` does."""
    report: dict[str, Any] = {}
    with strictly(source, report):
        network, info = cls.from_pretrained(directory, output_loading_info=True, **options)
        report |= info
    try:
        return LanguageModel(network.requires_grad_(False))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def load_gguf(path: str | Path) -> LanguageModel:
    """Return the model in a GGUF file, dequantised to float32. Raises ValueError, naming the file, as `load` does."""
    from transformers import AutoModelForCausalLM

    path = Path(path)
    options: dict[str, Any] = {"gguf_file": path.name, "dtype": torch.float32, "local_files_only": True}
    model = from_pretrained(AutoModelForCausalLM, path, path.parent, **options)
    for settings in (model.config, model.network.generation_config):
        check_token_ids(path, settings.to_dict(), model.config.vocab_size)
    return model


def empty(directory: Path, dtype: torch.dtype) -> Any:
    """transformers' module of a directory, with its buffers and without memory for its weights. Raises as `load`."""
    from accelerate import init_empty_weights
    from transformers.initialization import no_init_weights

    config = read_config(directory)
    cls = _class(config)
    with strictly(directory), no_init_weights(), init_empty_weights(include_buffers=False):
        return cls.from_config(config, dtype=dtype) if hasattr(cls, "from_config") else cls(config).to(dtype)


def read_config(directory: Path) -> Any:
    """transformers' configuration of a directory. Raises as `load` does."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    path = directory / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a model is a Hugging Face directory with a config.json")
    raw = files.read_json(path)
    if (quantised := raw.get("quantization_config")) is not None:
        kind = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise ValueError(f"{path}: quantization_config is {kind!r}; expected weights that are not quantised")
    if (kind := raw.get("model_type")) not in CONFIG_MAPPING:
        code = "; its code in the directory is not run" if "auto_map" in raw else ""
        raise ValueError(f"{path}: model_type is {kind!r}, which transformers does not have{code}")
    if (directory / "adapter_config.json").is_file():
        raise ValueError(f"{directory / 'adapter_config.json'}: an adapter; expected weights that it is merged into")
    # Null means what a missing key does, but transformers 5.23 stops at it.
    given = {"quantization_config": None} if "quantization_config" in raw else {}
    with strictly(path):
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False, **given)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(f"{path}: model_type is {kind!r}, of which transformers has no causal language model")
    if config.get_text_config(decoder=True) is not config:
        raise ValueError(f"{path}: model_type {kind!r} is of text and more; expected a model of text alone")
    for name in ("config.json", "generation_config.json"):
        if (directory / name).is_file():
            check_token_ids(directory / name, files.read_json(directory / name), config.vocab_size)
    if hasattr(config, BLOCKS):
        _check_blocks(path, getattr(config, BLOCKS), config.num_hidden_layers)
    return config


def _check_blocks(path: Path, blocks: Any, layers: int) -> None:
    """Raise ValueError unless blocks describe as many layers as `modeling_child` says."""
    if not isinstance(blocks, list) or len(blocks) != layers:
        raise ValueError(f"{path}: {BLOCKS} must be a list of {layers} layers")
    for index, block in enumerate(blocks):
        kinds = [part.get("kind") for part in block.values() if part] if isinstance(block, dict) else [block]
        if unknown := set(map(str, kinds)) - {"no_op", "linear", "own"}:
            raise ValueError(f"{path}: {BLOCKS}: layer {index} has a part of kind {min(unknown)!r}")


def check_token_ids(path: Path, settings: dict[str, Any], rows: int) -> None:
    """Raise ValueError, naming file and key, for a token id that the embedding of that many rows does not have.

    Many published models have a pad_token_id of -1, which means none.
    """
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = settings.get(key)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        least = -1 if key == "pad_token_id" else 0
        if value == [] or not all(isinstance(i, int) and least <= i < rows for i in ids):
            raise ValueError(f"{path}: {key} is {value!r}; expected token ids below vocab_size = {rows}, or null")


def weight_files(directory: Path) -> list[Path]:
    """The files that hold a model's weights: those that transformers reads, not others that lie beside them.

    Raises FileNotFoundError, naming the file, if one is missing.
    """
    whole, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        raise FileNotFoundError(
            f"{directory}: no model.safetensors or {index.name}; weights are read from these, never from pickles"
        )
    places = files.read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ValueError(f"{index}: weight_map is missing; expected the file of each tensor")
    paths = [directory / place for place in sorted(set(places.values()))]
    for path in paths:
        if path.parent != directory or not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; {index.name} says that it holds weights")
    return paths


def check_header(path: Path) -> None:
    """Raise ValueError if a file of weights is damaged or truncated."""
    try:
        with safe_open(path, framework="pt"):
            pass
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged or not a safetensors file ({error})") from None


def _class(config: Any) -> Any:
    """The class of a model: transformers' own, or that of a child of it."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

    if not hasattr(config, BLOCKS):
        return AutoModelForCausalLM
    return getattr(modeling_child, f"Child{MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__}")


@contextmanager
def strictly(source: Path, report: dict[str, Any] | None = None) -> Iterator[None]:
    """Raise ValueError, naming source, for every warning and error of transformers, and for what its report lists.

    The report of loaded weights, which is filled within the with statement, comes before warnings of the same.
    """
    from transformers.utils import logging as transformers_logging

    warnings: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not HARMLESS & set(_callers()):
                warnings.append(record.getMessage())

    logger = logging.getLogger("transformers")
    before = logger.handlers, logger.level, transformers_logging.is_progress_bar_enabled()
    logger.handlers = [Collect(logging.WARNING)]
    logger.setLevel(logging.WARNING)  # whatever TRANSFORMERS_VERBOSITY says
    transformers_logging.disable_progress_bar()
    transformers_logging.warning_once.cache_clear()  # what was said of another directory is to be said of this one
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{source}: transformers cannot read it: {one_line(str(error))}") from error
    finally:
        logger.handlers, level, bars = before
        logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
    for key, words in REPORTED.items():
        if entries := (report or {}).get(key):
            names = sorted(str(entry[0] if isinstance(entry, tuple) else entry) for entry in entries)
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(f"{source}: {words} {one_line(', '.join(names[:3]))}{more}")
    if warnings:
        raise ValueError(f"{source}: transformers warns: {one_line(warnings[0])}")


def _callers() -> Iterator[str]:
    """Names of the functions, and places of the files within transformers, that lead to a record of a log."""
    frame = sys._getframe()
    while (frame := frame.f_back) is not None:  # type: ignore[assignment]
        yield frame.f_code.co_name
        yield frame.f_code.co_filename.rpartition("/transformers/")[2]


def one_line(text: str) -> str:
    """A message of several lines in one."""
    return " ".join(text.split())[:500]
