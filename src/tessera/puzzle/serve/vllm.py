"""What vLLM can serve: children by the plugin of plugins/vllm, some of them also by itself."""

from tessera.puzzle.models import nemotron
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve.gguf_layouts import blocks_of, config_of

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
    missing = obstacles(model)
    alone = (
        f"vLLM by itself cannot: {'; '.join(missing)}" if missing else "its own nemotron_nas may, which was not tried"
    )
    return f"{by_plugin}; {alone}."


def obstacles(model: LanguageModel) -> list[str]:
    """What in a child vLLM's nemotron_nas module, as its source is, cannot compute or would leave out in silence."""
    config, blocks = config_of(model), blocks_of(model)
    if nemotron.block_configs(blocks, config) is None:
        return [f"it has no form for layers of model_type {config.model_type!r} as these"]
    obstacles = []
    kinds = [[part.get("kind", "own") for part in block.values()] for block in blocks]
    linear = [i for i, kind in enumerate(kinds) if "linear" in kind]
    if linear:
        obstacles.append(f"it has no linear maps, as in layers {', '.join(map(str, linear))}")
    if blocks[0]["attention"].get("kind") == "no_op":
        obstacles.append("its first layer must have attention")
    if config.model_type == "qwen2":
        obstacles.append(
            "it would drop the biases of queries, keys and values, which this child has without one of outputs"
        )
    return obstacles
