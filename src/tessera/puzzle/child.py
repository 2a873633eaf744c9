"""Children: a parent with one variant chosen per layer, assembled from the block library, saved and loaded."""

import copy
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from tessera.common import files
from tessera.puzzle.models import modeling_child, nemotron, variants
from tessera.puzzle.models.anatomy import SUBBLOCKS
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Layer
from tessera.puzzle.models.loading import BLOCKS, load
from tessera.puzzle.models.space import FFN, PARENT, Attention, Space, decompose

__all__ = ["Choice", "assemble", "chosen", "load", "save", "subblock", "subblocks", "variants_of"]

#: A child's choice: one block variant, ATTENTION+FFN, a layer.
Choice = Sequence[str]

#: The PART of a subblock of the parent's own sizes, with other weights.
OWN: dict[str, Any] = {"kind": "own"}
#: The module that travels with a checkpoint, so that it loads without this package.
CODE = Path(modeling_child.__file__)
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


def subblock(layer: Layer, config: Any, variant: Attention | FFN, name: str, path: Path) -> nn.Module | None:
    """A variant's module with its tensors from a layer's library file; their keys begin with `name`, as in ffn.ffn50.

    Raises ValueError, naming the file and variant, if tensors are missing
    or of another shape.
    """
    if variant.kind == "no_op":
        return None
    place = "attention" if isinstance(variant, Attention) else "ffn"
    module = variants.build(layer, config, variants.part(layer, config, variant), place)
    weight = next(layer.module.parameters())
    try:
        tensors = {key: value.to(weight) for key, value in files.load_tensors(path, f"{name}/").items()}
        module.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: {name} does not fit the space and parent: {error}") from None
    return module.requires_grad_(False)


def variants_in(space: Space, layer: int, block: str) -> dict[str, tuple[str, Attention | FFN]]:
    """Name and variant of each subblock of a block ATTENTION+FFN. Raises ValueError if it is not in the space."""
    named: dict[str, tuple[str, Attention | FFN]] = {}
    known: Mapping[str, Mapping[str, Attention | FFN]] = {"attention": space.attentions(), "ffn": space.ffns()}
    for place, name in zip(SUBBLOCKS, decompose(block), strict=True):
        if name not in known[place]:
            words = "FFN" if place == "ffn" else place
            raise ValueError(f"layer {layer}: {words} variant {name!r} is not one of {', '.join(known[place])}")
        named[place] = name, known[place][name]
    return named


def subblocks(
    parent: LanguageModel, space: Space, library: Sequence[Path], layer: int, block: str
) -> tuple[nn.Module | None, nn.Module | None]:
    """Attention and FFN of a block ATTENTION+FFN: variants from the block library, copies of what is the parent's own.

    Raises ValueError if the block is not in the space, or its tensors do not fit.
    """
    whole = parent.layers[layer]
    attention, ffn = (
        copy.deepcopy(whole.subblock(place))
        if name == PARENT
        else subblock(whole, parent.config, variant, f"{place}.{name}", layer_file(library, layer))
        for place, (name, variant) in variants_in(space, layer, block).items()
    )
    return attention, ffn


def layer_file(library: Sequence[Path], layer: int) -> Path:
    """The file of one layer in a block library of several directories. Raises FileNotFoundError if there is none."""
    for directory in library:
        path = directory / f"layer_{layer}.safetensors"
        if path.is_file():
            return path
    raise FileNotFoundError(f"no layer_{layer}.safetensors in {', '.join(map(str, library))}")


def variants_of(
    parent: LanguageModel, space: Space, library: Sequence[Path], layers: Iterable[int]
) -> dict[int, dict[str, dict[str, nn.Module | None]]]:
    """Layer -> subblock -> variant -> module of all variants of some layers, the parent's own left out."""
    named: Mapping[str, Mapping[str, Attention | FFN]] = {"attention": space.attention, "ffn": space.ffn}
    return {
        index: {
            place: {
                name: subblock(
                    parent.layers[index], parent.config, variant, f"{place}.{name}", layer_file(library, index)
                )
                for name, variant in of_place.items()
            }
            for place, of_place in named.items()
        }
        for index in layers
    }


def assemble(parent: LanguageModel, space: Space, library: Sequence[Path], choice: Choice) -> LanguageModel:
    """Return a child: the parent's embedding, norms and head, and each layer as chosen (one ATTENTION+FFN per layer).

    library is the directories that hold layer_<i>.safetensors. The child shares no storage with the parent. Raises
    ValueError where the choice or the library does not fit.
    """
    if len(choice) != len(parent.layers):
        raise ValueError(f"the choice has {len(choice)} layers; the parent has {len(parent.layers)}")
    replaced: dict[tuple[int, str], tuple[nn.Module | None, dict[str, Any]]] = {}
    for index, block in enumerate(choice):
        layer = parent.layers[index]
        for place, (name, variant) in variants_in(space, index, block).items():
            if name != PARENT:
                module = subblock(layer, parent.config, variant, f"{place}.{name}", layer_file(library, index))
                replaced[index, place] = module, variants.part(layer, parent.config, variant)
    return exchanged(parent, replaced)


def exchanged(
    parent: LanguageModel, replaced: Mapping[tuple[int, str], tuple[nn.Module | None, dict[str, Any]]]
) -> LanguageModel:
    """A copy of the parent in which modules are in the place of some subblocks, by layer and subblock.

    Each comes with the PART of `modeling_child` that describes it; None is a no-op. What is replaced is not copied.
    """
    memo = {
        id(value): value
        for index, place in replaced
        for value in (
            *parent.layers[index].subblock(place).parameters(),
            *parent.layers[index].subblock(place).buffers(),
        )
    }
    network = copy.deepcopy(parent.network, memo)
    blocks: list[dict[str, dict[str, Any]]] = [{place: {} for place in SUBBLOCKS} for _ in parent.layers]
    copied = LanguageModel(network)
    for (index, place), (module, part) in replaced.items():
        layer = copied.module(index)
        blocks[index][place] = part
        if module is None:
            module = modeling_child.build(layer, place, index, parent.config, part)
        modeling_child.exchange(layer, place, module, part)
    network.config = copy.deepcopy(parent.config)
    setattr(network.config, BLOCKS, blocks)
    return LanguageModel(network.requires_grad_(False))


def save(child: LanguageModel, parent_directory: str | Path, directory: str | Path) -> None:
    """Write a child as a Hugging Face checkpoint: weights, configuration, modelling code and the parent's tokenizer."""
    parent_directory = Path(parent_directory)
    name = f"Child{type(child.network).__name__.removeprefix('Child')}"
    blocks = getattr(child.config, BLOCKS, [{place: {} for place in SUBBLOCKS} for _ in child.layers])
    # Of a child that was read, transformers answers questions about all layers by an error.
    whole = modeling_child.config_of(child.config, {})
    published = nemotron.block_configs(blocks, whole)
    config = files.read_json(parent_directory / "config.json") | {
        "architectures": [name],
        "auto_map": {"AutoModelForCausalLM": f"{CODE.stem}.{name}"},
        BLOCKS: blocks,
        "per_layer_config": {str(i): sizes for i, block in enumerate(blocks) if (sizes := _sizes(block, whole))},
        "dtype": str(next(child.network.parameters()).dtype).removeprefix("torch."),
    }
    if published is not None:
        config["block_configs"] = published
    with files.replacing_directory(directory) as hidden:
        files.save_tensors(hidden / "model.safetensors", child.state(), metadata={"format": "pt"})
        files.write_json(hidden / "config.json", config)
        shutil.copyfile(CODE, hidden / CODE.name)
        for name in (*TOKENIZER, "generation_config.json"):
            if (parent_directory / name).is_file():
                shutil.copyfile(parent_directory / name, hidden / name)


def _sizes(block: Mapping[str, dict[str, Any]], config: Any) -> dict[str, int]:
    """Sizes in which a layer differs, by transformers' keys; 0 where a subblock is not the parent's kind any more.

    Readers that do not know `puzzle_blocks` then fail, instead of drawing random weights for what is missing.
    """
    sizes: dict[str, int] = {}
    for place, keys in (("attention", ("num_key_value_heads", "num_attention_heads")), ("ffn", variants.WIDTHS[::-1])):
        part = block[place]
        sizes |= part.get("config", {})
        if part and part["kind"] != "own":
            sizes[variants.key_of(config, keys, place)] = 0
    if "num_key_value_heads" in sizes:  # which says enough; families' own checks ask for the heads of all layers
        sizes.pop("num_attention_heads", None)
    return sizes
