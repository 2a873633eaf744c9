"""Configurations of tiny parents, one of every kind of architecture that is supported."""

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
