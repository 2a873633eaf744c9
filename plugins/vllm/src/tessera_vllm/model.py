"""Children as vLLM models: the parent's own class, each of whose layers is built as `puzzle_blocks` describe it."""

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import vllm
from torch import nn
from vllm.config import VllmConfig
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.models import registry, utils

from tessera_vllm import CHILD, TESTED
from tessera_vllm.parts import Linear, NoNorm, Nothing

MODELS = "vllm.model_executor.models"
#: Names of the subblocks in vLLM's decoder layers.
NAMES = {
    "attention": ("self_attn", "self_attention", "attention", "attn"),
    "ffn": ("mlp", "block_sparse_moe", "feed_forward", "ffn"),
}


def changed(what: str) -> RuntimeError:
    """The error of a vLLM whose internals are not those that this plugin knows."""
    return RuntimeError(
        f"tessera-vllm: {what} in vLLM {vllm.__version__}; it was tested with {', '.join(TESTED)}, and must be adapted"
    )


def exchange(layer: nn.Module, index: int, block: dict[str, dict[str, Any]], config: VllmConfig, prefix: str) -> None:
    """Put linear maps and nothing in the place of a built layer's subblocks.

    Raises ValueError for what this plugin cannot build, RuntimeError if the layer is not made as expected.
    """
    for subblock, part in block.items():
        kind = part.get("kind", "own")
        if part.get("bias"):
            raise ValueError(f"layer {index}: {subblock} has biases that its parent has not, which vLLM cannot load")
        if kind == "own":
            continue
        if kind not in ("linear", "no_op"):
            raise ValueError(f"layer {index}: {subblock} is of kind {kind!r}; expected own, linear or no_op")
        name = next((n for n in NAMES[subblock] if isinstance(getattr(layer, n, None), nn.Module)), None)
        if name is None:
            raise changed(f"{type(layer).__name__} has no {subblock}")
        # What is built and thrown away must get no KV cache.
        context = config.compilation_config.static_forward_context
        for key in [key for key in context if key.startswith(f"{prefix}.{name}.")]:
            del context[key]
        size = config.model_config.hf_text_config.hidden_size
        setattr(layer, name, Linear(size, config.quant_config, f"{prefix}.{name}") if kind == "linear" else Nothing())
        for norm in part.get("drops", ()):
            if not isinstance(getattr(layer, norm, None), nn.Module):
                raise changed(f"{type(layer).__name__} has no {norm}")
            setattr(layer, norm, NoNorm())


@contextmanager
def sizes(config: Any, block: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Within it, the configuration has the sizes of one layer."""
    own = {key: value for part in block.values() for key, value in part.get("config", {}).items()}
    missing = object()
    before = {key: config.__dict__.get(key, missing) for key in own}
    config.__dict__.update(own)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is missing:
                del config.__dict__[key]
            else:
                config.__dict__[key] = value


@contextmanager
def window(tokens: int | None) -> Iterator[None]:
    """Within it, attentions are built to see the last so many tokens, or as many as they would if that is fewer.

    Raises RuntimeError if none is built.
    """
    if tokens is None:
        yield
        return
    original, built = Attention.__init__, []

    @functools.wraps(original)
    def narrowed(self: Any, *args: Any, per_layer_sliding_window: int | None = None, **kwargs: Any) -> None:
        fewest = min(tokens, per_layer_sliding_window or tokens)
        built.append(fewest)
        original(self, *args, per_layer_sliding_window=fewest, **kwargs)

    Attention.__init__ = narrowed
    try:
        yield
    finally:
        Attention.__init__ = original
    if not built:
        raise changed(f"a layer with a window of {tokens} tokens makes no Attention")


@contextmanager
def layers_differ(config: VllmConfig) -> Iterator[None]:
    """Within it, vLLM's make_layers builds each layer as `puzzle_blocks` describe it.

    Raises RuntimeError if no layer was built so.
    """
    shape = config.model_config.hf_text_config
    blocks, original, built = shape.puzzle_blocks, utils.make_layers, []

    def make_layers(count: int, layer_fn: Callable[..., nn.Module], prefix: str) -> Any:
        if count != len(blocks):
            raise changed(f"a stack of {count} layers is made for {len(blocks)} puzzle_blocks")

        def build(prefix: str) -> nn.Module:
            index = utils.extract_layer_index(prefix)
            block = blocks[index]
            with sizes(shape, block), window(block["attention"].get("window")):
                layer = layer_fn(prefix=prefix)
            exchange(layer, index, block, config, prefix)
            built.append(index)
            return layer

        return original(count, build, prefix)

    # transformers refuses to say what differs between layers while it knows that layers differ.
    spec = shape.__dict__.pop("_heterogeneity_spec", None)
    users = [m for n, m in list(sys.modules.items()) if n.startswith(MODELS) and vars(m).get("make_layers") is original]
    for module in users:
        module.make_layers = make_layers
    try:
        yield
    finally:
        for module in users:
            module.make_layers = original
        if spec is not None:
            shape.__dict__["_heterogeneity_spec"] = spec
    if not built:
        raise changed("no layer is made by make_layers")


def child_of(parent: type[nn.Module]) -> type[nn.Module]:
    """The class of children of a vLLM model class."""

    def init(self: nn.Module, *, vllm_config: VllmConfig, prefix: str = "", **settings: Any) -> None:
        with layers_differ(vllm_config):
            parent.__init__(self, vllm_config=vllm_config, prefix=prefix, **settings)

    return type(f"{CHILD}{parent.__name__}", (parent,), {"__init__": init, "__module__": __name__})


def __getattr__(name: str) -> type[nn.Module]:
    """The class `Child<Name>` of children whose parent's class transformers calls <Name>."""
    if name.startswith(CHILD) and (place := registry._TEXT_GENERATION_MODELS.get(name.removeprefix(CHILD))):
        module, parent = place
        made = child_of(getattr(importlib.import_module(f"{MODELS}.{module}"), parent))
        globals()[name] = made
        return made
    raise AttributeError(name)
