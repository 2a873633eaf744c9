"""Caches whose memory is reserved at once."""

import pytest
import torch
from tiny_models import SHAPE
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from tessera.puzzle.models.cache import ReservedLayer, cache_bytes, new_cache
from tessera.puzzle.models.decoder import LanguageModel

TYPES = ["sliding_attention", "full_attention", "sliding_attention"]
TOKENS = torch.randint(1, 64, (2, 14), generator=torch.Generator().manual_seed(0))


def model(kind, **changes):
    torch.manual_seed(0)
    config = AutoConfig.for_model(**SHAPE | {"model_type": kind} | changes)
    return LanguageModel(AutoModelForCausalLM.from_config(config).eval())


MODELS = {
    "llama": ("llama", {}),
    "gemma3": ("gemma3_text", {"sliding_window": 4, "layer_types": TYPES, "head_dim": 8}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "sliding_window": None}),
}


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_a_model_computes_the_same_as_with_transformers_own(name):
    kind, changes = MODELS[name]
    one = model(kind, **changes)
    ours, theirs = new_cache(one.config, 14), DynamicCache(config=one.config)
    for tokens in (TOKENS[:, :9], TOKENS[:, 9:10], TOKENS[:, 10:14]):
        found, expected = (
            one.network(input_ids=tokens, past_key_values=cache, use_cache=True).logits for cache in (ours, theirs)
        )
        torch.testing.assert_close(found, expected)
    assert ours.get_seq_length() == 14
    with pytest.raises(ValueError, match="holds 14 tokens; 15 were asked of it"):
        one.network(input_ids=TOKENS[:, :1], past_key_values=ours, use_cache=True)


def test_nothing_is_copied_as_tokens_are_added():
    layer = ReservedLayer(5)
    first, _ = layer.update(torch.ones(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))
    second, values = layer.update(torch.full((1, 2, 1, 4), 2.0), torch.zeros(1, 2, 1, 4))
    assert first.data_ptr() == second.data_ptr() and second.shape == values.shape == (1, 2, 4, 4)
    assert second[0, 0, :, 0].tolist() == [1, 1, 1, 2]
    layer.crop(-2)
    assert layer.get_seq_length() == 2
    layer.reset()
    assert layer.get_seq_length() == 0 and not layer.is_initialized


def test_bytes_of_windows():
    full = cache_bytes(model("llama"), 3, 10)
    assert full == 3 * 3 * 2 * 2 * 10 * 8 * 4  # batch, layers, keys and values, KV heads, tokens, head size, bytes
    windowed = cache_bytes(model(*MODELS["gemma3"][:1], **MODELS["gemma3"][1]), 3, 10)
    assert windowed == full * (10 + 2 * 3) // 30  # transformers keeps one token less than the window
