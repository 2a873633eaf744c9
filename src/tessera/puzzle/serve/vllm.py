"""What vLLM can serve: children by the plugin of plugins/vllm, some of them also by itself."""

from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.gguf_layouts import blocks_of, config_of
from tessera.puzzle.serve.stock import nemotron_nas

#: Model types whose children the plugin's tests compare with transformers.
FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "granite", "glm4", "exaone4",
    "nemotron", "stablelm", "qwen3_moe",
)  # fmt: skip
#: The plugin, as it is named to people.
PLUGIN = "the plugin in plugins/vllm"


def words(model: LanguageModel) -> str:
    """What a card says of vLLM and this child."""
    config = config_of(model)
    biased = [i for i, block in enumerate(blocks_of(model)) if any(part.get("bias") for part in block.values())]
    if config.model_type not in FAMILIES:
        by_plugin = f"{PLUGIN} was not tried with model_type {config.model_type!r}"
    elif biased:
        by_plugin = f"{PLUGIN} cannot load biases that the parent has not, as in layers {', '.join(map(str, biased))}"
    else:
        by_plugin = f"served with {PLUGIN}, whose tests compare children of {config.model_type!r} with transformers"
    refusal = obstacle(model)
    alone = f"without it not: {refusal}" if refusal else "without it as `tessera puzzle export --for vllm` writes it"
    return f"{by_plugin}; {alone}."


def obstacle(model: LanguageModel) -> str | None:
    """Why vLLM by itself cannot serve a child that has layers of several sizes; None if it can."""
    try:
        nemotron_nas.convert(model, "vllm")
    except ValueError as error:
        return str(error)
    return None
