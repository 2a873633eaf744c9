"""Tiny configurations of families whose layers differ from Llama's, for the tests of the costs."""

from shapes import tiny

_MIXTURE = {"num_experts_per_tok": 2, "output_router_logits": False}
#: config.json by name, with what sets the family apart.
ZOO = {
    "llama": tiny(),
    "tied": tiny(num_key_value_heads=4, tie_word_embeddings=True),
    "biased": tiny(attention_bias=True, mlp_bias=True, head_dim=16),
    "mistral": tiny("mistral", sliding_window=None),
    "windowed": tiny("mistral", sliding_window=8),
    "qwen2": tiny("qwen2"),
    "qwen3": tiny("qwen3"),
    "gemma3": tiny(
        "gemma3_text", sliding_window=8, layer_types=["sliding_attention", "full_attention"], tie_word_embeddings=True
    ),
    "phi3": tiny("phi3", pad_token_id=0),
    "olmo2": tiny("olmo2"),
    "starcoder2": tiny("starcoder2", sliding_window=None),
    "cohere": tiny("cohere", logit_scale=1.0, pad_token_id=0, bos_token_id=1, eos_token_id=2),
    "mixtral": tiny("mixtral", num_local_experts=4, sliding_window=None, **_MIXTURE),
    "qwen2_moe": tiny(
        "qwen2_moe",
        num_experts=4,
        moe_intermediate_size=24,
        shared_expert_intermediate_size=40,
        mlp_only_layers=[0],
        **_MIXTURE,
    ),
    "gpt_oss": tiny(
        "gpt_oss",
        num_local_experts=4,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
        pad_token_id=0,
        **_MIXTURE,
    ),
}
for _name in ("phi3", "gpt_oss"):
    ZOO[_name] |= {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}}
