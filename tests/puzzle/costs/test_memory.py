"""Parameter counts against modules of transformers, and the KV cache against its formula."""

import pytest
import torch
from shapes import SMOLLM2, SPACE, tiny
from transformers import AutoConfig, AutoModelForCausalLM

from tessera.puzzle.costs import memory
from tessera.puzzle.costs.params import Workload
from tessera.puzzle.models import architecture
from tessera.puzzle.models.space import FFN, Attention

PARENT = Attention(kind="gqa"), FFN(kind="gated")


@pytest.mark.parametrize(
    "config",
    [
        tiny(),
        tiny(num_key_value_heads=4, tie_word_embeddings=True),
        tiny(attention_bias=True, mlp_bias=True, head_dim=16),
        tiny("mistral"),
        tiny("qwen2"),
        tiny("qwen3"),
    ],
    ids=["grouped", "ungrouped tied", "biased", "mistral", "qwen2", "qwen3"],
)
def test_parameters_equal_those_of_transformers(config):
    shape = architecture.from_config(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    layer = model.model.layers[0]

    def count(*modules):
        return sum(p.numel() for module in modules for p in module.parameters())

    attention, ffn = memory.attention_parameters(shape, PARENT[0]), memory.ffn_parameters(shape, PARENT[1])
    assert attention.count == count(layer.self_attn, layer.input_layernorm)
    assert ffn.count == count(layer.mlp, layer.post_attention_layernorm)
    non_block = memory.non_block_parameters(shape)
    assert shape.num_layers * (attention.count + ffn.count) + non_block.count == count(model)


@pytest.mark.parametrize("config", [tiny(), tiny("qwen3"), tiny(attention_bias=True)], ids=["llama", "qwen3", "biased"])
def test_parameters_of_variants_equal_those_of_the_childs_modules(config):
    from tessera.puzzle.models.blocks import attention_spec, ffn_spec, model_spec
    from tessera.puzzle.models.model import AttentionSpec, FFNSpec, Layer

    shape = architecture.from_config(config)
    for variant in SPACE.attentions().values():
        layer = Layer(model_spec(shape), attention_spec(shape, variant), FFNSpec("no_op"))
        assert memory.attention_parameters(shape, variant).count == sum(p.numel() for p in layer.parameters())
    for variant in SPACE.ffns().values():
        layer = Layer(model_spec(shape), AttentionSpec("no_op"), ffn_spec(shape, variant))
        assert memory.ffn_parameters(shape, variant).count == sum(p.numel() for p in layer.parameters())


def test_smollm2():
    attention, ffn = (
        memory.attention_parameters(SMOLLM2, PARENT[0]).count,
        memory.ffn_parameters(SMOLLM2, PARENT[1]).count,
    )
    assert (attention, ffn) == (884_736 + 576, 2_654_208 + 576)
    assert 30 * (attention + ffn) + memory.non_block_parameters(SMOLLM2).count == 134_515_008  # the model card's count


def test_kv_cache():
    workload = Workload(batch=256, prefill=512, decode=512)
    # 2 (keys and values) * 3 heads * 64 * 256 sequences * 1024 tokens * 2 bytes
    assert memory.kv_cache_bytes(SMOLLM2, Attention(kind="gqa"), workload, "bfloat16") == 192 * 2**20
    assert memory.kv_cache_bytes(SMOLLM2, Attention(kind="gqa", kv_heads=1), workload, "fp8") == 32 * 2**20
    assert memory.kv_cache_bytes(SMOLLM2, Attention(kind="linear"), workload, "bfloat16") == 0


def test_fp8_halves_the_layers_weights_alone():
    attention = memory.attention_parameters(SMOLLM2, PARENT[0])
    assert attention.bytes("fp8") == 884_736 + 2 * 576
    head = memory.non_block_parameters(SMOLLM2)
    assert head.bytes("fp8") == head.bytes("bfloat16")
