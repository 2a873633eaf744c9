"""How near to its parent distillation brings one small child: the objective by which its rates and weights are tuned.

The steps of the main chain, in short and in one job: hidden states of calibration text, the chosen variants of the
chosen layers, the child healed, and its KL divergence from the parent on validation text.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from tessera.common import files, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import PARENT, Space, compose, decompose
from tessera.puzzle.params import HealParams, LibraryParams


class ChildParams(Section):
    """The child, and the text that it is made and measured with."""

    layers: list[int] = Field(min_length=1)
    """Layers that are exchanged; all others are the parent's."""
    block: str
    """Variant that takes their place, ATTENTION+FFN."""
    window: int = Field(gt=1)
    """Tokens of one window."""
    calibration_windows: int = Field(gt=0)
    heal_windows: int = Field(gt=0)
    valid_windows: int = Field(gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        decompose(self.block)
        if min(self.layers) < 0 or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers = {self.layers}; expected distinct layers, counted from 0")
        return self


class Params(Section):
    space: Space
    library: LibraryParams
    heal: HealParams
    child: ChildParams
    seed: int


def main(params: Params, parent: Path, tokens: Path, library: Path, metrics: Path) -> None:
    """Write the child's KL divergence from the parent (nats per token), before and after healing, and its losses.

    library is a directory that the variants are written to, for the child to be assembled from; next to it is the
    cache of heal.teacher = cache.
    """
    from functools import partial

    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import child as children
    from tessera.puzzle.heal.train import heal
    from tessera.puzzle.library.activations import store_before
    from tessera.puzzle.library.build import LayerLibrary
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import blocks
    from tessera.puzzle.scores import divergence
    from tessera.puzzle.scores.replace_one import head, hidden_states

    child = params.child
    architecture = architectures.read(parent)
    beyond = [layer for layer in child.layers if layer >= architecture.num_layers]
    if beyond:
        raise ValueError(f"child.layers = {beyond}: the parent has the layers 0 to {architecture.num_layers - 1}")
    params.space.check(architecture)
    teacher = blocks.load(parent).requires_grad_(False)

    def text(name: str, split: str, count: int, more: int) -> torch.Tensor:
        seed = randomness.seed(params.seed, "puzzle", "distillation", name)
        return torch.from_numpy(windows(tokens, split, child.window + more, count, seed).tokens).long()

    texts = {
        "train": text("library", "train", child.calibration_windows, 0),
        "valid": text("library valid", "valid", params.library.valid_windows, 0),
    }
    attention, ffn = decompose(child.block)
    space = Space(
        attention={name: variant for name, variant in params.space.attention.items() if name == attention},
        ffn={name: variant for name, variant in params.space.ffn.items() if name == ffn},
    )
    with files.scratch_directory(library) as scratch:
        train, valid = (
            store_before(child.layers, teacher, tokens_of, scratch / name) for name, tokens_of in texts.items()
        )
        for layer in child.layers:
            stream = partial(randomness.torch_generator, params.seed, "puzzle", "distillation", layer)
            block, around = teacher.model.layers[layer], scratch / str(layer)
            around.mkdir()
            builder = LayerLibrary(
                block, architecture, space, params.library, train[layer], valid[layer], stream, around
            )
            tensors, _ = builder.build()
            files.save_tensors(library / f"layer_{layer}.safetensors", tensors)
    choice = [
        child.block if layer in child.layers else compose(PARENT, PARENT) for layer in range(architecture.num_layers)
    ]
    model = children.assemble(teacher, parent, params.space, [library], choice)

    held_out = text("valid", "valid", child.valid_windows, 1)
    x, targets = held_out[:, :-1], held_out[:, 1:].flatten()

    def divergences() -> float:
        with torch.no_grad():
            last = hidden_states(teacher, x)[0][-1].flatten(0, 1)
            states = hidden_states(model, x)[0][-1].flatten(0, 1)
            (agreement,) = divergence.compare(head(teacher), last, [(head(model), states)], targets)
        return float(agreement.kl_div.double().mean())

    before = divergences()
    order = randomness.torch_generator(params.seed, "puzzle", "distillation", "order")
    learnt, cache = text("heal", "train", child.heal_windows, 1), library.with_name("teacher")
    curve = heal(teacher, model, learnt, params.heal, params.heal.equal, order, teacher_cache=cache)
    files.write_json(metrics, {"kl_div": divergences(), "kl_div_before": before, "training_kl_div": curve.kl_div})


if __name__ == "__main__":
    stage.run(main)
