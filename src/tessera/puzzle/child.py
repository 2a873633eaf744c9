"""Children: a parent with one variant chosen per layer, assembled from the block library, saved and loaded."""

import copy
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tessera.common import files
from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models import blocks
from tessera.puzzle.models.architecture import CHILD, Architecture
from tessera.puzzle.models.blocks import Choice, load
from tessera.puzzle.models.model import AttentionSpec, FFNSpec, LanguageModel, ModelSpec, build_attention, build_ffn
from tessera.puzzle.models.space import PARENT, Space, decompose
from tessera.puzzle.models.specs import block_config

__all__ = ["assemble", "chosen", "load", "save", "subblock", "subblocks", "variants_of"]

#: Modules that travel with a checkpoint, so that it loads without this package.
CODE = tuple(
    Path(architectures.__file__).with_name(name)
    for name in ("modeling_puzzle.py", "specs.py", "model.py", "architecture.py")
)
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "vocab.json")


def chosen(path: str | Path, method: str) -> dict[str, Any]:
    """The row of one method in a children.json that the search wrote; its `blocks` are the choice.

    Raises ValueError, naming the file, if the method is missing or found no child within the budget.
    """
    rows = files.read_json(path)["children"]
    if method not in rows:
        raise ValueError(f"{path}: no child of method {method!r}; expected one of {', '.join(rows)}")
    row = rows[method]
    if row["status"] == "infeasible":
        least = row["smallest_feasible"]
        raise ValueError(f"{path}: {method} has no child within the budget; feasible would be {least}")
    return row


def subblock(spec: ModelSpec, what: AttentionSpec | FFNSpec, name: str, path: Path) -> nn.Module | None:
    """A variant's module with its tensors from a layer's library file; their keys begin with `name`.

    name is subblock.variant, as in ffn.ffn50. Raises ValueError, naming the file and variant, if tensors are missing
    or of another shape.
    """
    with torch.device("meta"):
        module = build_attention(spec, what) if isinstance(what, AttentionSpec) else build_ffn(spec, what)
    if module is None:
        return None
    try:
        module.load_state_dict(files.load_tensors(path, f"{name}/"), assign=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: {name} does not fit the space and parent: {error}") from None
    return module.requires_grad_(False)


def subblocks(
    parent: LanguageModel, architecture: Architecture, space: Space, library: Sequence[Path], layer: int, block: str
) -> tuple[nn.Module | None, nn.Module | None]:
    """Attention and FFN of a block ATTENTION+FFN: variants from the block library, copies of what is the parent's own.

    Raises ValueError if the block is not in the space, or its tensors do not fit.
    """
    attention, ffn = blocks.block_specs(architecture, space, layer, block)
    attention_name, ffn_name = decompose(block)
    path, original = layer_file(library, layer), parent.model.layers[layer]
    return (
        copy.deepcopy(original.self_attn)
        if attention_name == PARENT
        else subblock(parent.spec, attention, f"attention.{attention_name}", path),
        copy.deepcopy(original.mlp) if ffn_name == PARENT else subblock(parent.spec, ffn, f"ffn.{ffn_name}", path),
    )


def layer_file(library: Sequence[Path], layer: int) -> Path:
    """The file of one layer in a block library of several directories. Raises FileNotFoundError if there is none."""
    for directory in library:
        path = directory / f"layer_{layer}.safetensors"
        if path.is_file():
            return path
    raise FileNotFoundError(f"no layer_{layer}.safetensors in {', '.join(map(str, library))}")


def variants_of(
    parent: LanguageModel, parent_directory: str | Path, space: Space, library: Sequence[Path], layers: Iterable[int]
) -> dict[int, dict[str, dict[str, nn.Module | None]]]:
    """Layer -> subblock -> variant -> module of all variants of some layers, the parent's own left out."""
    architecture = architectures.read(parent_directory)
    specs: dict[str, dict[str, AttentionSpec | FFNSpec]] = {
        "attention": {n: blocks.attention_spec(architecture, v) for n, v in space.attention.items()},
        "ffn": {n: blocks.ffn_spec(architecture, v) for n, v in space.ffn.items()},
    }
    return {
        layer: {
            part: {n: subblock(parent.spec, s, f"{part}.{n}", layer_file(library, layer)) for n, s in named.items()}
            for part, named in specs.items()
        }
        for layer in layers
    }


def assemble(
    parent: LanguageModel, parent_directory: str | Path, space: Space, library: Sequence[Path], choice: Choice
) -> LanguageModel:
    """Return a child: the parent's embedding, norms and head, and each layer as chosen (one ATTENTION+FFN per layer).

    library is the directories that hold layer_<i>.safetensors. The child shares no storage with the parent. Raises
    ValueError where the choice or the library does not fit.
    """
    architecture = architectures.read(parent_directory)
    layers = blocks.child_layers(architecture, space, choice)
    with torch.device("meta"):
        child = LanguageModel(blocks.model_spec(architecture, layers))
    for i, (block, (attention, ffn)) in enumerate(zip(choice, layers, strict=True)):
        layer = child.model.layers[i]
        attention_name, ffn_name = decompose(block)
        if attention_name != PARENT:
            layer.self_attn = subblock(parent.spec, attention, f"attention.{attention_name}", layer_file(library, i))
        if ffn_name != PARENT:
            layer.mlp = subblock(parent.spec, ffn, f"ffn.{ffn_name}", layer_file(library, i))
    weights = parent.state_dict()
    rest = {k: weights[k].clone() for k, v in child.state_dict().items() if v.is_meta}
    child.load_state_dict(rest, strict=False, assign=True)
    if architecture.tied_embeddings:
        child.lm_head.weight = child.model.embed_tokens.weight
    return child.requires_grad_(False)


def save(child: LanguageModel, parent_directory: str | Path, directory: str | Path) -> None:
    """Write a child as a Hugging Face checkpoint: weights, configuration, modelling code and the parent's tokenizer."""
    parent_directory = Path(parent_directory)
    architecture = architectures.read(parent_directory)
    config = json.loads((parent_directory / "config.json").read_text())
    config |= {
        "model_type": CHILD,
        "parent_model_type": architecture.model_type,
        "architectures": ["DeciLMForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_puzzle.PuzzleConfig",
            "AutoModelForCausalLM": "modeling_puzzle.PuzzleForCausalLM",
        },
        "block_configs": [
            block_config(attention, ffn, architecture.num_heads // (attention.num_kv_heads or 1))
            for attention, ffn in child.spec.layers
        ],
        "dtype": "float32",
    }
    state = child.state_dict()
    if architecture.tied_embeddings:
        del state["lm_head.weight"]
    with files.replacing_directory(directory) as hidden:
        files.save_tensors(hidden / "model.safetensors", state, metadata={"format": "pt"})
        files.write_json(hidden / "config.json", config)
        for module in CODE:
            shutil.copyfile(module, hidden / module.name)
        for name in (*TOKENIZER, "generation_config.json"):
            if (parent_directory / name).is_file():
                shutil.copyfile(parent_directory / name, hidden / name)
