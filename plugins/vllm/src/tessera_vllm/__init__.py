"""vLLM plugin: children of Puzzle, whose layers differ, served by vLLM's own class of the parent's model.

A child's config.json has the parent's model type, `architectures: [Child<Parent's class>]`, and `puzzle_blocks`, which
say how each layer differs (tessera/puzzle/models/modeling_child.py). vLLM calls `register` in each of its processes.
"""

#: Versions of vLLM whose layers were compared with transformers'.
TESTED = ("0.32.0",)
#: Name of a child's class before that of its parent.
CHILD = "Child"


def register() -> None:
    """Make every text model of vLLM available as a parent of children. Imports no model, and no torch."""
    from vllm.model_executor.models import registry

    for parent in registry._TEXT_GENERATION_MODELS:
        registry.ModelRegistry.register_model(f"{CHILD}{parent}", f"tessera_vllm.model:{CHILD}{parent}")
