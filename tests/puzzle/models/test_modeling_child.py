"""Children of every family: saved, read by this package, and read by transformers with the code that travels."""

import pytest
import tiny_models
import torch

from tessera.puzzle import child
from tessera.puzzle.library import initialise
from tessera.puzzle.models import loading, modeling_child, variants
from tessera.puzzle.models.space import FFN, Attention

TOKENS = torch.randint(3, 97, (2, 12), generator=torch.Generator().manual_seed(0))
FAST = ["llama", "gemma3_text", "qwen3_moe", "phi3"]
SLOW = ["gemma2", "mixtral", "gpt_oss", "olmo2", "deepseek_v3"]


def exchanged(model, family):
    """A child with a variant of each kind that the family has."""
    x, calls = model.inputs(TOKENS)
    layers, config, replaced = model.layers, model.config, {}

    def attention(index, **variant):
        chosen = Attention(**variant)
        inner = layers[index].inner("attention", x, calls)
        module = initialise.attention(layers[index], config, chosen, inner, None)
        replaced[index, "attention"] = module, variants.part(layers[index], config, chosen)

    def ffn(index, kept=None, **variant):
        chosen = FFN(**variant)
        module = initialise.ffn(layers[index], config, chosen, kept=kept)
        replaced[index, "ffn"] = module, variants.part(layers[index], config, chosen)

    attention(0, kind="no_op")
    attention(1, kind="linear")
    ffn(1, kind="no_op")
    ffn(2, kind="linear")
    if family != "deepseek_v3":  # its KV heads are latent, and some of its channels are every token's
        attention(2, kind="gqa", kv_heads=2, window=3)
        kept = torch.arange(0, variants.channel_count(layers[3], config), 2)
        ffn(3, kept.expand(4, -1) if variants.is_mixture(layers[3]) else kept, kind="gated", width=0.5)
    return child.exchanged(model, replaced)


@pytest.mark.parametrize("family", [*FAST, *(pytest.param(family, marks=pytest.mark.slow) for family in SLOW)])
def test_children_are_the_same_wherever_they_are_read(family, tmp_path):
    from transformers import AutoModelForCausalLM

    tiny_models.network(family).save_pretrained(tmp_path / "parent")
    made = exchanged(loading.load(tmp_path / "parent"), family)
    child.save(made, tmp_path / "parent", tmp_path / "child")
    expected = made(TOKENS)
    assert torch.equal(loading.load(tmp_path / "child")(TOKENS), expected)
    options = {"dtype": torch.float32, "attn_implementation": made.config._attn_implementation}
    remote = AutoModelForCausalLM.from_pretrained(tmp_path / "child", trust_remote_code=True, **options).eval()
    with torch.no_grad():
        assert torch.equal(remote(TOKENS).logits, expected)
    length = {"max_new_tokens": 9, "min_new_tokens": 9, "do_sample": False, "pad_token_id": 0}
    with_cache, without = (remote.generate(TOKENS, use_cache=cache, **length) for cache in (True, False))
    assert torch.equal(with_cache, without)
    with pytest.raises(Exception):  # noqa: B017  what matters is that no random weights are drawn in silence
        AutoModelForCausalLM.from_pretrained(tmp_path / "child")


def test_an_unknown_kind_is_refused_by_name():
    """Also by the code that travels, which reads configurations that this package has not checked."""
    network = tiny_models.network("llama")
    with pytest.raises(
        ValueError, match="puzzle_blocks: the ffn of layer 2 is of kind 'liner'; expected no_op, linear"
    ):
        modeling_child.build(network.model.layers[2], "ffn", 2, network.config, {"kind": "liner"})
