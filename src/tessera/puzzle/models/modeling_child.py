"""A child as a transformers model: the parent's own class with some subblocks exchanged.

This file travels with every child that is saved and imports nothing but torch and transformers. It serves every family:
`ChildLlamaForCausalLM` is transformers' LlamaForCausalLM, `ChildGemma3ForCausalLM` its Gemma3ForCausalLM, and so on,
each with the subblocks that the configuration's `puzzle_blocks` describe, one entry a layer:

    {"attention": PART, "ffn": PART}

A PART is empty for the parent's own subblock, else it has

    kind      no_op, linear (a linear map of each token by itself), or own (the parent's class, with other sizes)
    config    of own: the keys of the configuration that differ
    window    of own: tokens that a query sees, itself included
    bias      of own: whether linear maps that have no bias in the parent have one
    returns   length of the tuple that the subblock returns, 0 if it returns a tensor
    drops     of no_op: norms of the layer that serve this subblock alone and go with it
"""

import copy
from typing import Any

import torch
import transformers
from torch import Tensor, nn

#: Names of the subblocks in transformers' decoder layers.
NAMES = {
    "attention": ("self_attn", "self_attention", "attention", "attn"),
    "ffn": ("mlp", "block_sparse_moe", "feed_forward", "ffn"),
}


def name_of(layer: nn.Module, subblock: str) -> str:
    """Return the name of a layer's attention or ffn. Raises ValueError if it has none of the known names."""
    for name in NAMES[subblock]:
        if isinstance(getattr(layer, name, None), nn.Module):
            return name
    raise ValueError(f"{type(layer).__name__} has no {subblock}; known names are {', '.join(NAMES[subblock])}")


def plain(module: nn.Module) -> dict[str, Any]:
    """Return what others may ask of a module beside its output, such as whether it has a window."""
    asked = {key: value for key, value in vars(module).items() if isinstance(value, bool | int | float | str)}
    return {key: value for key, value in asked.items() if key != "training"}


class Exchange(nn.Module):
    """A linear map of each token by itself, or nothing, in the place of a subblock."""

    def __init__(self, original: nn.Module, subblock: str, index: int, hidden_size: int, linear: bool, returns: int):
        super().__init__()
        self.__dict__.update(plain(original))
        self.subblock, self.layer_idx, self.returns = subblock, index, returns
        self.linear = nn.Linear(hidden_size, hidden_size, bias=False) if linear else None

    def forward(self, hidden_states: Tensor, *_: Any, past_key_values: Any = None, **__: Any) -> Any:
        if self.subblock == "attention" and past_key_values is not None:
            # Caches count tokens by what a layer stores; keys of width 0 would count none.
            token = hidden_states.new_zeros(hidden_states.shape[0], 1, hidden_states.shape[1], 1)
            past_key_values.update(token, token, self.layer_idx)
        output = torch.zeros_like(hidden_states) if self.linear is None else self.linear(hidden_states)
        return (output, *[None] * (self.returns - 1)) if self.returns else output


class Window:
    """A forward pre-hook by which an attention sees the last `window` tokens alone."""

    def __init__(self, window: int) -> None:
        self.window = window

    def __call__(self, attention: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        x = kwargs.get("hidden_states", args[0] if args else None)
        mask, cache = kwargs.get("attention_mask"), kwargs.get("past_key_values")
        assert x is not None
        tokens = x.shape[1]
        past = cache.get_seq_length(attention.layer_idx) if cache is not None else 0
        stored = mask.shape[-1] if mask is not None else past + tokens
        query = torch.arange(past, past + tokens, device=x.device)[:, None]
        # A cache that has a window itself holds the last tokens alone.
        key = torch.arange(stored, device=x.device) + past + tokens - stored
        seen = ((key <= query) & (key > query - self.window))[None, None]
        if mask is None:
            mask = seen
        elif mask.dtype == torch.bool:
            mask = mask & seen
        else:
            mask = mask.masked_fill(~seen, torch.finfo(mask.dtype).min)
        return args, kwargs | {"attention_mask": mask}


def config_of(config: Any, changes: dict[str, Any]) -> Any:
    """Return a copy of a configuration with some keys changed."""
    changed = copy.copy(config)
    changed.__dict__.pop("_heterogeneity_spec", None)
    for key, value in changes.items():
        setattr(changed, key, value)
    return changed


def build(layer: nn.Module, subblock: str, index: int, config: Any, part: dict[str, Any]) -> nn.Module:
    """Return the module that a PART describes, with fresh weights, for layer `index` of the parent's class.

    Raises ValueError, naming the layer, if it is of an unknown kind.
    """
    name, kind = name_of(layer, subblock), part.get("kind")
    if kind in ("no_op", "linear"):
        return Exchange(getattr(layer, name), subblock, index, config.hidden_size, kind == "linear", part["returns"])
    if kind != "own":
        raise ValueError(
            f"puzzle_blocks: the {subblock} of layer {index} is of kind {kind!r}; expected no_op, linear or own"
        )
    module = getattr(type(layer)(config_of(config, part.get("config", {})), index), name).train(layer.training)
    if part.get("bias"):
        for linear in module.modules():
            if isinstance(linear, nn.Linear) and linear.bias is None:
                linear.bias = nn.Parameter(linear.weight.new_zeros(linear.out_features))
    if part.get("window"):
        module.register_forward_pre_hook(Window(part["window"]), with_kwargs=True)
    return module


def exchange(layer: nn.Module, subblock: str, module: nn.Module, part: dict[str, Any]) -> None:
    """Put a module in the place of a layer's subblock, and take away the norms that served that subblock alone."""
    setattr(layer, name_of(layer, subblock), module)
    for norm in part.get("drops", ()):
        setattr(layer, norm, nn.Identity())


class Child:
    """Mixed into the parent's class: exchanges subblocks as the configuration describes."""

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        # per_layer_config says to other readers that layers differ; here puzzle_blocks says how.
        spec = config.__dict__.pop("_heterogeneity_spec", None)
        super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]
        for index, block in enumerate(config.puzzle_blocks):
            layer = self.get_decoder().layers[index]  # type: ignore[attr-defined]
            for subblock, part in block.items():
                if part:
                    exchange(layer, subblock, build(layer, subblock, index, config, part), part)
        if spec is not None:
            config.__dict__["_heterogeneity_spec"] = spec


def __getattr__(name: str) -> type:
    """Return the class `Child<Name>` of a child whose parent is transformers' <Name>."""
    base = getattr(transformers, name.removeprefix("Child"), None)
    if not name.startswith("Child") or base is None:
        raise AttributeError(name)
    members = {"__module__": __name__, "config_class": base.config_class}
    globals()[name] = made = type(name, (Child, base), members)
    return made
