"""From a parent's architecture and a search space to modules: what each variant is made of, and how models load."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.model import AttentionSpec, FFNSpec, LanguageModel, Layer, ModelSpec
from tessera.puzzle.models.space import FFN, Attention, Space, decompose
from tessera.puzzle.models.specs import layers_of, model_spec

#: A child's choice: one block variant, ATTENTION+FFN, a layer.
Choice = Sequence[str]


def attention_spec(architecture: Architecture, variant: Attention) -> AttentionSpec:
    """Specification of an attention variant for a parent of this architecture."""
    if variant.kind == "gqa":
        return AttentionSpec("gqa", variant.kv_heads or architecture.num_kv_heads)
    return AttentionSpec(variant.kind)


def ffn_spec(architecture: Architecture, variant: FFN) -> FFNSpec:
    """Specification of an FFN variant for a parent of this architecture."""
    if variant.kind == "gated":
        return FFNSpec("gated", variant.intermediate_size(architecture))
    return FFNSpec(variant.kind)


def child_layers(architecture: Architecture, space: Space, choice: Choice) -> list[tuple[AttentionSpec, FFNSpec]]:
    """Specifications of a child's layers.

    Raises ValueError, naming the layer and variant, if a choice is not in the space.
    """
    if len(choice) != architecture.num_layers:
        raise ValueError(f"the choice has {len(choice)} layers; the parent has {architecture.num_layers}")
    return [block_specs(architecture, space, i, block) for i, block in enumerate(choice)]


def block_specs(architecture: Architecture, space: Space, layer: int, block: str) -> tuple[AttentionSpec, FFNSpec]:
    """Specifications of a layer's block. Raises ValueError, naming layer and variant, if it is not in the space."""
    (attention, ffn), attentions, ffns = decompose(block), space.attentions(), space.ffns()
    if attention not in attentions:
        raise ValueError(f"layer {layer}: attention variant {attention!r} is not one of {', '.join(attentions)}")
    if ffn not in ffns:
        raise ValueError(f"layer {layer}: FFN variant {ffn!r} is not one of {', '.join(ffns)}")
    return attention_spec(architecture, attentions[attention]), ffn_spec(architecture, ffns[ffn])


def load(directory: str | Path) -> LanguageModel:
    """Return the model of a Hugging Face directory, parent or child, in float32.

    Raises FileNotFoundError and ValueError that name the file if one is missing, damaged, or of another shape.
    """
    directory = Path(directory)
    spec = _spec(directory)
    with torch.device("meta"):
        model = LanguageModel(spec)
    state = _read_weights(directory)
    if spec.tied_embeddings:
        state["lm_head.weight"] = state.get("model.embed_tokens.weight", torch.empty(0))
    _assign(model, state, directory)
    if spec.tied_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model


def load_layer(directory: str | Path, index: int) -> Layer:
    """Return layer `index`, from 0, of the model of a directory; nothing else of it is read. Raises as `load` does."""
    directory = Path(directory)
    spec = _spec(directory)
    with torch.device("meta"):
        layer = Layer(spec, *spec.layers[index])
    _assign(layer, _read_weights(directory, f"model.layers.{index}."), directory)
    return layer


def _spec(directory: Path) -> ModelSpec:
    path, architecture = directory / "config.json", architectures.read(directory)
    try:
        return model_spec(architecture, layers_of(architecture, json.loads(path.read_text())))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _assign(module: nn.Module, state: dict[str, Tensor], directory: Path) -> None:
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{directory}: the weights do not fit {directory / 'config.json'}: {error}") from None


def _read_weights(directory: Path, prefix: str = "") -> dict[str, Tensor]:
    """Weights whose names start with prefix, which is cut from their names, in float32."""
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        places = json.loads(index.read_text())["weight_map"].items()
        paths = sorted({directory / place for name, place in places if name.startswith(prefix)})
    else:
        paths = [directory / "model.safetensors"]
    state: dict[str, Tensor] = {}
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; weights are read only from safetensors")
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    # Early Llamas saved inverse frequencies, which follow from the configuration.
                    if name.startswith(prefix) and not name.endswith("rotary_emb.inv_freq"):
                        state[name.removeprefix(prefix)] = file.get_tensor(name).to(torch.float32)
        except SafetensorError as error:
            raise ValueError(f"{path}: damaged or not a safetensors file ({error})") from None
    return state
