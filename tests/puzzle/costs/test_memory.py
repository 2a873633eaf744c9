"""Parameter counts against modules of transformers, and the KV cache against its formula."""

import pytest
import tiny_models
from shapes import SMOLLM2, SPACE
from transformers import AutoConfig, AutoModelForCausalLM
from zoo import ZOO

from tessera.puzzle import child
from tessera.puzzle.costs import memory
from tessera.puzzle.costs.params import Workload
from tessera.puzzle.models import architecture, variants
from tessera.puzzle.models.cache import cache_bytes
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import FFN, Attention

PARENT = Attention(kind="gqa"), FFN(kind="gated")
MIXTURE = {"half": FFN(kind="gated", experts=0.5), "narrow": FFN(kind="gated", width=0.5, experts=0.5)}


def numbers(*modules):
    return sum(p.numel() for p in {id(p): p for module in modules for p in module.parameters()}.values())


@pytest.mark.parametrize("name", ZOO)
def test_parameters_of_a_parent_are_those_of_its_modules(name):
    """Of the real modules, with norms found by running them: what a layer loses without its subblock."""
    shape = architecture.from_config(ZOO[name])
    model = LanguageModel(AutoModelForCausalLM.from_config(AutoConfig.for_model(**ZOO[name])).float())
    total = memory.non_block_parameters(shape).count
    for layer in model.layers:
        for subblock, variant in (("attention", PARENT[0]), ("ffn", PARENT[1])):
            norms = [getattr(layer.module, norm) for norm in layer.anatomy[subblock].norms]
            expected = numbers(layer.subblock(subblock), *norms)
            assert memory.parameters(shape, variant, layer.index).count == expected
            total += expected
    assert total == numbers(model)


@pytest.mark.parametrize("name", ZOO)
def test_parameters_of_a_child_are_those_of_its_modules(name):
    """Each variant in place of the parent's, in a whole model as it is saved and served."""
    shape = architecture.from_config(ZOO[name])
    model = LanguageModel(AutoModelForCausalLM.from_config(AutoConfig.for_model(**ZOO[name])).float())
    attentions = SPACE.attentions() | {"dropped": Attention(kind="gqa", kv_heads=1, reduction="drop")}
    for place, named in (("attention", attentions), ("ffn", MIXTURE | SPACE.ffns())):
        for variant in named.values():
            layer = model.layer(1)
            try:
                part = variants.part(layer, model.config, variant)
            except ValueError:
                with pytest.raises(ValueError, match="mixtures of experts"):
                    memory.parameters(shape, variant, 1)
                continue
            module = None if not part or variant.kind == "no_op" else variants.build(layer, model.config, part, place)
            one = child.exchanged(model, {(1, place): (module, part)} if part else {})
            less = (
                memory.parameters(shape, PARENT[place == "ffn"], 1).count - memory.parameters(shape, variant, 1).count
            )
            assert numbers(one) == numbers(model) - less


def test_smollm2():
    attention, ffn = (
        memory.parameters(SMOLLM2, PARENT[0]).count,
        memory.parameters(SMOLLM2, PARENT[1]).count,
    )
    assert (attention, ffn) == (884_736 + 576, 2_654_208 + 576)
    assert 30 * (attention + ffn) + memory.non_block_parameters(SMOLLM2).count == 134_515_008  # the model card's count


def test_kv_cache():
    workload = Workload(batch=256, prefill=512, decode=512)
    # 2 (keys and values) * 3 heads * 64 * 256 sequences * 1024 tokens * 2 bytes
    assert memory.kv_cache_bytes(SMOLLM2, Attention(kind="gqa"), workload, "bfloat16") == 192 * 2**20
    assert memory.kv_cache_bytes(SMOLLM2, Attention(kind="gqa", kv_heads=1), workload, "fp8") == 32 * 2**20
    assert memory.kv_cache_bytes(SMOLLM2, Attention(kind="linear"), workload, "bfloat16") == 0


@pytest.mark.parametrize("family", ["deepseek_v3", "youtu"])
def test_latent_attention_caches_its_latents(family):
    network = tiny_models.network(family)
    model, shape = LanguageModel(network), architecture.from_config(network.config.to_dict())
    workload = Workload(batch=3, prefill=5, decode=2)
    layers = [memory.kv_cache_bytes(shape, PARENT[0], workload, "float32", layer) for layer in range(4)]
    assert sum(layers) == cache_bytes(model, 3, 7) == 4 * 3 * 7 * (16 + 8) * 4


def test_kv_cache_of_windows_and_dropped_heads():
    workload = Workload(batch=3, prefill=20, decode=10)
    gemma, full = architecture.from_config(ZOO["gemma3"]), Attention(kind="gqa")
    sizes = [memory.kv_cache_bytes(gemma, full, workload, "float32", layer) for layer in (0, 1)]
    assert sizes == [2 * 2 * 8 * 3 * tokens * 4 for tokens in (8, 30)]  # 2 KV heads of size 8; layer 0 has a window
    short = Attention(kind="gqa", window=5, kv_heads=1, reduction="drop")
    assert [memory.kv_cache_bytes(gemma, short, workload, "float32", layer) for layer in (0, 1)] == [
        2 * 8 * 3 * 5 * 4
    ] * 2


def test_fp8_halves_the_layers_weights_alone():
    attention = memory.parameters(SMOLLM2, PARENT[0])
    assert attention.bytes("fp8") == 884_736 + 2 * 576
    head = memory.non_block_parameters(SMOLLM2)
    assert head.bytes("fp8") == head.bytes("bfloat16")
