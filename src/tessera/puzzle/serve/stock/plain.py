"""A child as its parent's plain class: fewer layers of one size, which every engine that knows the parent reads.

A layer may be dropped as a whole; all others have both parts, of the same sizes.
"""

from collections.abc import Mapping
from typing import Any

from tessera.puzzle.models import variants
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.gguf_layouts import blocks_of, config_of
from tessera.puzzle.serve.stock.form import CHILD_KEYS, Form, rotary


def convert(model: LanguageModel, config: Mapping[str, Any]) -> Form:
    """The plain form of a child whose config.json is `config`. Raises ValueError, naming a layer, if it has none.

    Whether the class computes what the child does, its reader has to check: a family may count its layers.
    """
    sizes: dict[int, dict[str, Any]] = {}
    for i, block in enumerate(blocks_of(model)):
        kinds = {place: part.get("kind", "own") for place, part in block.items()}
        if set(kinds.values()) == {"no_op"}:
            continue
        for place, kind in kinds.items():
            if kind != "own":
                what = "has no" if kind == "no_op" else "has a linear map as"
                raise ValueError(f"layer {i} {what} {place}, which no plain class has")
            if other := block[place].keys() & {"window", "bias"}:
                raise ValueError(f"the {place} of layer {i} has a {other.pop()} of its own, which no plain class has")
        sizes[i] = {key: value for part in block.values() for key, value in part.get("config", {}).items()}
    if not sizes:
        raise ValueError("no layer is left, and a plain class has at least one")
    (first, like), *others = sizes.items()
    for i, changes in others:
        for key in sorted(changes.keys() | like.keys()):
            here, there = (found.get(key, config.get(key)) for found in (changes, like))
            if here != there:
                raise ValueError(f"layers {first} and {i} differ in {key}, {there} and {here}; a plain class has one")
    kept = {key: value for key, value in config.items() if key not in CHILD_KEYS}
    kept |= like | {"num_hidden_layers": len(sizes)}
    name = type(model.network).__name__.removeprefix("Child")
    if "rope_parameters" in kept:
        kept |= rotary(kept["rope_parameters"])
    if "num_attention_heads" in like:
        kept["head_dim"] = variants.head_dim(config_of(model))
    if "layer_types" in kept:
        kept["layer_types"] = [kept["layer_types"][i] for i in sizes]
    tensors = {new: value for old, value in model.state().items() if (new := _renamed(model, old, list(sizes)))}
    layers = f"{len(sizes)} layers" if len(sizes) < len(model.layers) else "all its layers"
    return Form(f"{name}, a class of transformers', with {layers}", kept | {"architectures": [name]}, tensors)


def _renamed(model: LanguageModel, name: str, kept: list[int]) -> str | None:
    """A tensor's name when layers before it are dropped; None if it is in one of them."""
    prefix = next(key for key, module in model.network.named_modules() if module is model.decoder.layers) + "."
    if not name.startswith(prefix):
        return name
    index, _, rest = name.removeprefix(prefix).partition(".")
    return f"{prefix}{kept.index(int(index))}.{rest}" if int(index) in kept else None
