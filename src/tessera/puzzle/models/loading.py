"""Models read as transformers reads them, parents and children alike; what transformers would only warn of is refused."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tessera.puzzle.models import modeling_child
from tessera.puzzle.models.decoder import LanguageModel, decoder_of, layers_of

#: Key of a child's config.json that describes its layers.
BLOCKS = "puzzle_blocks"
#: What transformers reports that it did with weights, and what that means.
REPORTED = {
    "missing_keys": "has no weights for",
    "unexpected_keys": "has weights that the model does not use:",
    "mismatched_keys": "has weights of another shape than config.json says:",
    "error_msgs": "cannot be read:",
}


def load(
    directory: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> LanguageModel:
    """Return the model of a Hugging Face directory, parent or child.

    Raises FileNotFoundError and ValueError, in one line that names the file, where transformers raises, warns, draws
    random weights or leaves weights out. No code of the directory is run: a child's class is this package's own.
    """
    directory = Path(directory)
    config = _config(directory)
    weights = [*directory.glob("*.safetensors")]
    if not weights:
        raise FileNotFoundError(f"{directory}: no *.safetensors; weights are read from safetensors, never from pickles")
    for path in weights:
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:
            raise ValueError(f"{path}: damaged or not a safetensors file ({error})") from None
    with _strictly(directory):
        network, report = _class(config, directory).from_pretrained(
            directory, config=config, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    for key, words in REPORTED.items():
        if report.get(key):
            names = sorted(str(name[0] if isinstance(name, tuple) else name) for name in report[key])
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ValueError(f"{directory}: {words} {', '.join(names[:3])}{more}")
    _check_tied(directory, network)
    return LanguageModel(network.to(device))


def load_layers(
    directory: str | Path,
    layers: Sequence[int],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LanguageModel:
    """Return a model in which only some layers, numbered from 0, have weights: the rest of the file is not read.

    Its `calls` and these layers can be used. A model whose file does not name tensors as the model does, as a mixture
    of experts, is read whole. Raises as `load` does.
    """
    directory = Path(directory)
    config = _config(directory)
    cls = _class(config, directory)
    with _strictly(directory), torch.device("meta"):
        network = cls.from_config(config, dtype=dtype) if hasattr(cls, "from_config") else cls(config).to(dtype)
    decoder = decoder_of(network)
    names = {module: name for name, module in network.named_modules()}
    parts = layers_of(decoder)
    with torch.device("cpu"):
        for name, module in decoder.named_children():
            # Rotary frequencies are in no file; they follow from the configuration.
            if not list(module.parameters()) and list(module.buffers()):
                setattr(decoder, name, type(module)(config=config))
    for index in layers:
        prefix = f"{names[parts[index]]}."
        state = _read(directory, prefix, dtype)
        if state.keys() != parts[index].state_dict().keys() or any(b.is_meta for b in _unsaved(parts[index])):
            return load(directory, dtype)
        parts[index].load_state_dict(state, assign=True)
    return LanguageModel(network)


def _unsaved(module: torch.nn.Module) -> Iterator[Tensor]:
    """Buffers that are in no file."""
    saved = module.state_dict().keys()
    return (buffer for name, buffer in module.named_buffers() if name not in saved)


def _config(directory: Path) -> Any:
    from transformers import AutoConfig

    path = directory / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a model is a Hugging Face directory with a config.json")
    if (json.loads(path.read_text(encoding="utf-8")).get("quantization_config")) is not None:
        raise ValueError(f"{path}: quantization_config is given; expected weights that are not quantised")
    with _strictly(directory):
        return AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)


def _class(config: Any, directory: Path) -> Any:
    """The class of a model: transformers' own, or that of a child of it."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(
            f"{directory / 'config.json'}: model_type is {config.model_type!r}, of which transformers has no causal "
            "language model"
        )
    if not hasattr(config, BLOCKS):
        return AutoModelForCausalLM
    return getattr(modeling_child, f"Child{MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__}")


def _check_tied(directory: Path, network: Any) -> None:
    """Refuse a head in the file that is not the embedding, where the configuration says that they are tied."""
    embedding, head = network.get_input_embeddings().weight, network.get_output_embeddings().weight
    if embedding.data_ptr() != head.data_ptr():
        return
    names = {id(p): name for name, p in network.named_parameters(remove_duplicate=False) if p is not embedding}
    del names
    stored = _read(directory, "lm_head.weight", embedding.dtype)
    if (own := stored.get("")) is not None and not torch.equal(own, embedding.detach().cpu()):
        raise ValueError(
            f"{directory}: tie_word_embeddings is true in config.json, but lm_head.weight in the file is not the "
            "embedding; set it to false"
        )


def _read(directory: Path, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights whose names start with prefix, which is cut from their names."""
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"].items()
        paths = sorted({directory / place for name, place in places if name.startswith(prefix)})
    else:
        paths = sorted(directory.glob("*.safetensors"))
    state: dict[str, Tensor] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                if name.startswith(prefix):
                    state[name.removeprefix(prefix)] = file.get_tensor(name).to(dtype)
    return state


@contextmanager
def _strictly(directory: Path) -> Iterator[None]:
    """Raise ValueError, naming the directory, for every warning of transformers and every error of its own kinds."""
    from transformers.utils import logging as transformers_logging

    warnings: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    logger, collect = logging.getLogger("transformers"), Collect(logging.WARNING)
    bars = transformers_logging.is_progress_bar_enabled()
    handlers, logger.handlers = logger.handlers, [collect]
    transformers_logging.disable_progress_bar()
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        if str(directory) in str(error) and isinstance(error, OSError | ValueError):
            raise
        raise ValueError(f"{directory}: transformers cannot read it: {_line(str(error))}") from error
    finally:
        logger.handlers = handlers
        if bars:
            transformers_logging.enable_progress_bar()
    if warnings:
        raise ValueError(f"{directory}: transformers warns: {_line(warnings[0])}")


def _line(text: str) -> str:
    """A message of several lines in one."""
    return " ".join(text.split())[:500]
