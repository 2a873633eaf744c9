"""Tiny parents: configurations of kinds of Llama, and random networks of all families that are tried."""

import inspect
from typing import Any

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
#: Configuration class and what differs from SHAPE, by name.
PARENTS = {
    "llama": ("LlamaConfig", {"tie_word_embeddings": True}),
    "llama_ungrouped": ("LlamaConfig", {"num_key_value_heads": 4}),
    "llama_biases": ("LlamaConfig", {"attention_bias": True, "mlp_bias": True}),
    "llama_llama3": ("LlamaConfig", {"head_dim": 12, "rope_parameters": LLAMA3, "rms_norm_eps": 1e-5}),
    "llama_linear": (
        "LlamaConfig",
        {"num_key_value_heads": 1, "rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}},
    ),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "qwen2": ("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", {"head_dim": 16, "attention_bias": True}),
}
#: A family whose blocks are not Llama's: norms behind attention and FFN, windows, embeddings that are scaled.
GEMMA = {
    "gemma3": (
        "Gemma3TextConfig",
        {"head_dim": 8, "sliding_window": 6, "layer_types": [f"{s}_attention" for s in ("sliding", "full", "sliding")]},
    ),
}
#: A parent with norms of queries and keys that llama.cpp can compute.
TIED = {"qwen3_tied": ("Qwen3Config", {"head_dim": 16, "tie_word_embeddings": True})}

#: Families that are admitted, and families that are not.
ADMITTED = [
    "llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3",
    "olmo2", "olmo3", "granite", "smollm3", "glm", "glm4", "exaone4", "ernie4_5", "starcoder2", "helium",
    "arcee", "seed_oss", "hunyuan_v1_dense", "apertus", "nemotron", "cwm", "bitnet", "youtu", "jais2",
    "stablelm", "mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "olmoe", "phimoe", "granitemoe", "dots1",
    "minimax_m2", "glm4_moe", "ernie4_5_moe", "deepseek_v3",
]  # fmt: skip
REFUSED = [
    "cohere", "cohere2", "phi", "gpt_neox", "opt", "gpt2", "gemma4_text", "llama4_text",
]  # fmt: skip
#: Sizes of the networks, by all the names that families have for them.
SIZES = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "sliding_window": 8,
    "query_pre_attn_scalar": 16,
    "tie_word_embeddings": False,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_k": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 0,
    "moe_layer_start_index": 0,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
}
#: Families without sdpa.
EAGER = ("gpt_oss", "gemma2", "granitemoe")


def network(family: str, **changes: Any) -> Any:
    """A random network of a family, of four layers, in which every weight and bias matters."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config_class = CONFIG_MAPPING[family]
    known = {*inspect.signature(config_class.__init__).parameters, *dir(config_class), *config_class.attribute_map}
    settings = {key: value for key, value in (SIZES | changes).items() if key in known}
    if family == "phi3":  # its default rotates three quarters of a head of another size
        settings["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}
    if family == "gpt_oss":  # its positions are scaled from fewer to these
        settings["max_position_embeddings"] = 131072
    attention = "eager" if family in EAGER else "sdpa"
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(config_class(**settings), attn_implementation=attention).float().eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.ndim > 1 and "embed" not in name:
                weight.normal_(0, 0.08)
            elif "norm" in name.lower():
                weight.add_(torch.randn_like(weight) * 0.1)
            elif weight.ndim == 1:
                weight.normal_(0, 0.05)
    return made.requires_grad_(False)
