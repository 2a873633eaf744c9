"""A child as a transformers model: AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True).

This file travels with every child that is saved, beside copies of specs.py, model.py and architecture.py.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .architecture import from_config
from .model import Attention, Decoder, RMSNorm
from .specs import layers_of, model_spec


class Block(dict):
    """A mapping whose keys are attributes as well: servers that know this family read `block_configs` so."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


class PuzzleConfig(PretrainedConfig):
    """The parent's configuration with a `block_configs` entry a layer, in the published Nemotron-NAS shape."""

    model_type = "nemotron-nas"

    def __init__(self, block_configs: list[dict] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        if block_configs is not None:
            parts = [{name: Block(part) for name, part in block.items()} for block in block_configs]
            self.block_configs = [Block(block) for block in parts]


class _LayerCache:
    """One layer's part of a transformers cache, as model.Attention uses it."""

    def __init__(self, cache: Any, index: int) -> None:
        self.cache, self.index = cache, index

    def update(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return self.cache.update(keys, values, self.index)


class PuzzleForCausalLM(PreTrainedModel, GenerationMixin):
    """A decoder whose layers differ, with transformers' generation and cache."""

    config_class = PuzzleConfig
    base_model_prefix = "model"
    _no_split_modules = ["Layer"]  # noqa: RUF012 (transformers' own form)
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012
    _supports_sdpa = True

    def __init__(self, config: PuzzleConfig) -> None:
        super().__init__(config)
        settings = config.to_dict()
        architecture = from_config(settings)
        spec = model_spec(architecture, layers_of(architecture, settings))
        self.model = Decoder(spec)
        self.lm_head = nn.Linear(spec.hidden_size, spec.vocab_size, bias=False)
        # Caches count the layers that have attention: the first of them tells the length so far.
        attending = [i for i, layer in enumerate(self.model.layers) if isinstance(layer.self_attn, Attention)]
        self.cache_index = {layer: index for index, layer in enumerate(attending)}
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.normal_(0, getattr(self.config, "initializer_range", 0.02))
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()
        elif isinstance(module, RMSNorm):
            module.weight.fill_(1)

    def get_input_embeddings(self) -> nn.Module:
        return self.model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.embed_tokens = value

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head = new_embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **_: object,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V) of T new tokens, or of the last logits_to_keep; attention_mask (B, S) is 0 at padding."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give one of input_ids and inputs_embeds")
        x = self.model.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        use_cache = bool(getattr(self.config, "use_cache", True) if use_cache is None else use_cache)
        use_cache = use_cache and bool(self.cache_index)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        B, T, _D = x.shape
        start = past_key_values.get_seq_length() if use_cache else 0
        mask = self._mask(attention_mask, B, start, T, x.device)
        if position_ids is None:
            position_ids = torch.arange(start, start + T, device=x.device)[None]
            if mask is not None and attention_mask is not None:
                position_ids = (attention_mask.long().cumsum(-1) - 1).clamp_min(0)[:, start:]
        rotary = self.model.rotary(position_ids, x.dtype)
        for i, layer in enumerate(self.model.layers):
            cache = _LayerCache(past_key_values, self.cache_index[i]) if use_cache and i in self.cache_index else None
            x = layer(x, rotary, mask, cache)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) and logits_to_keep else slice(None)
        if isinstance(logits_to_keep, Tensor):
            x = x[:, logits_to_keep]
        logits = self.lm_head(self.model.norm(x[:, kept]))
        loss = self.loss_function(logits, labels, self.config.vocab_size) if labels is not None else None
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values if use_cache else None)

    @staticmethod
    def _mask(attention_mask: Tensor | None, B: int, start: int, T: int, device: torch.device) -> Tensor | None:
        """Which keys a query may see, (B, 1, T, S); None where no token is padding, and causality says all."""
        if attention_mask is None or bool(attention_mask.all()):
            return None
        S = start + T
        causal = torch.ones(T, S, dtype=torch.bool, device=device).tril(start)
        seen = causal[None, None] & attention_mask[:, None, None, :S].bool()
        # A padding token sees itself, so that its softmax is defined; no real token sees it.
        return seen | torch.eye(T, S, dtype=torch.bool, device=device).roll(start, 1)[None, None]
