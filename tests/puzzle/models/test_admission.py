"""Which families are parents, and of which kinds of variants."""

import pytest
import tiny_models
import torch

from tessera.puzzle.models import admission
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import FFN, Attention, Space

#: What families cannot have, beside fewer experts where there are none, and words of the reason.
FAILED = {
    "olmo2": {"dropped KV heads": "not the sum"},
    "olmo3": {"dropped KV heads": "not the sum"},
    "minimax_m2": {"dropped KV heads": "not the sum"},
    "olmoe": {"dropped KV heads": "size"},
    "helium": {"dropped KV heads": "shapes"},
    "stablelm": {"dropped KV heads": "as they are"},
    "bitnet": {"dropped KV heads": "size", "narrower FFN": "channels cannot be dropped one by one"},
    "youtu": {"merged KV heads": "as they are", "dropped KV heads": "q_b_proj"},
    "phimoe": {"fewer active experts": "does not depend on the number"},
    "dots1": {"narrower FFN": "shared_experts"},
    "glm4_moe": {"narrower FFN": "shared_experts"},
    "ernie4_5_moe": {"narrower FFN": "shared_experts"},
    "deepseek_v3": {"merged KV heads": "as they are", "dropped KV heads": "q_b_proj", "narrower FFN": "shared_experts"},
}
MIXTURES = tiny_models.ADMITTED[tiny_models.ADMITTED.index("mixtral") :]
FAST = ["llama", "gemma3_text", "qwen3_moe", "phi3"]
SLOW = [family for family in tiny_models.ADMITTED if family not in FAST]
TOKENS = torch.randint(3, 97, (2, 12), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("family", [*FAST, *(pytest.param(family, marks=pytest.mark.slow) for family in SLOW)])
def test_what_a_family_can_have(family):
    network = tiny_models.network(family)
    with torch.no_grad():
        expected = network(TOKENS).logits
    model = LanguageModel(network)
    result = admission.examine(model)
    dense = {} if family in MIXTURES else {"fewer experts": "mixtures", "fewer active experts": "mixtures"}
    failed = FAILED.get(family, {}) | dense
    assert result.failed.keys() == failed.keys(), result.failed
    assert all(words in result.failed[kind] for kind, words in failed.items()), result.failed
    assert len(result.works) + len(result.failed) == 10
    assert torch.equal(model(TOKENS), expected), "the network is as it was"


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("cohere", "CohereForCausalLM cannot be a parent: layer 0, CohereDecoderLayer, is not attention, then FFN"),
        ("gpt2", "GPT2LMHeadModel"),
        *(
            pytest.param(family, words, marks=pytest.mark.slow)
            for family, words in {
                "cohere2": "is not attention, then FFN",
                "phi": "is not attention, then FFN",
                "gpt_neox": "is not attention, then FFN",
                "opt": "OPTDecoderLayer has no ffn",
                "gemma4_text": "cannot be a parent",
                "llama4_text": "has no list of layers",
            }.items()
        ),
    ],
)
def test_families_that_are_refused(family, words):
    with pytest.raises(ValueError, match=words):
        admission.examine(LanguageModel(tiny_models.network(family)))


def changed(module, forward):
    """Give a module another class, whose forward is this one."""
    module.__class__ = type("Other", (type(module),), {"forward": forward})


def test_a_layer_that_is_not_as_the_others_is_found():
    network = tiny_models.network("llama")

    def parallel(self, hidden_states, **given):
        attention, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **given)
        return hidden_states + attention + self.mlp(self.post_attention_layernorm(hidden_states))

    changed(network.model.layers[2], parallel)
    with pytest.raises(ValueError, match="layer 2, Other, is not attention, then FFN"):
        admission.examine(LanguageModel(network))


def test_what_comes_behind_the_layers_is_found():
    network = tiny_models.network("llama")
    forward = type(network.model).forward

    def scaled(self, *args, **given):
        output = forward(self, *args, **given)
        output.last_hidden_state = output.last_hidden_state * 1.5
        return output

    changed(network.model, scaled)
    with pytest.raises(ValueError, match="do not give its logits"):
        admission.examine(LanguageModel(network))


def test_one_layer_per_kind_is_tried():
    layers = lambda family, **changes: [  # noqa: E731
        layer.index for layer in admission.distinct_layers(LanguageModel(tiny_models.network(family, **changes)))
    ]
    assert layers("llama") == [0]
    types = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]
    assert layers("gemma3_text", layer_types=types) == [0, 2]
    assert layers("deepseek_v3", first_k_dense_replace=1) == [0, 1]


def test_a_parent_of_one_kv_head():
    result = admission.examine(LanguageModel(tiny_models.network("llama", num_key_value_heads=1)))
    assert result.failed["merged KV heads"] == "layer 0: it has 1 KV head"


@pytest.mark.parametrize(
    ("attention", "ffn", "words"),
    [
        (
            {"kv3": Attention(kind="gqa", kv_heads=3)},
            {},
            r"^puzzle\.space\.attention\.kv3: kv_heads is 3",
        ),
        (
            {},
            {"few": FFN(kind="gated", experts=0.5)},
            r"^puzzle\.space\.ffn\.few: this parent has no fewer experts",
        ),
    ],
)
def test_spaces_that_the_parent_cannot_have(attention, ffn, words):
    model = LanguageModel(tiny_models.network("llama"))
    result = admission.examine(model)
    with pytest.raises(ValueError, match=words):
        result.check(Space(attention=attention, ffn=ffn), model)
    result.check(Space(attention={"kv2": Attention(kind="gqa", kv_heads=2, window=4)}, ffn={}), model)


def test_kinds_of_variants():
    merged = Attention(kind="gqa", kv_heads=2, window=4)
    assert admission.kinds(merged) == ["merged KV heads", "window"]
    assert admission.kinds(Attention(kind="gqa", kv_heads=2, reduction="drop")) == ["dropped KV heads"]
    assert admission.kinds(FFN(kind="gated", width=0.5, active=1)) == ["narrower FFN", "fewer active experts"]
    assert admission.kinds(FFN(kind="no_op")) == ["no-op FFN"] and admission.kinds(FFN(kind="gated")) == []


def test_the_command(tmp_path, repository, monkeypatch):
    from typer.testing import CliRunner

    from tessera.puzzle.model_cli import app

    monkeypatch.chdir(repository)
    tiny_models.network("qwen3").save_pretrained(tmp_path / "qwen3")
    shown = CliRunner().invoke(app, ["parent", str(tmp_path / "qwen3")])
    assert shown.exit_code == 0 and "4 layers" in shown.output
    rows = {line.split("│")[1].strip(): line for line in shown.output.splitlines() if line.startswith("│")}
    assert "yes" in rows["merged KV heads"] and "mixtures" in rows["fewer experts"]
    assert {"activations", "block library", "scores", "healing, one target"} <= rows.keys()
    other = ["--params", str(repository / "params.yaml"), "--params", str(tmp_path / "other.yaml")]
    (tmp_path / "other.yaml").write_text("puzzle: {space: {attention: {kv3: {kind: gqa, kv_heads: 3}}}}")
    shown = CliRunner().invoke(app, ["parent", str(tmp_path / "qwen3"), *other])
    assert shown.exit_code == 0 and "space.attention.kv3" in shown.output and "block library" not in shown.output
    tiny_models.network("cohere").save_pretrained(tmp_path / "cohere")
    refused = CliRunner().invoke(app, ["parent", str(tmp_path / "cohere")])
    assert refused.exit_code == 1 and "CohereForCausalLM cannot be a parent" in refused.output
