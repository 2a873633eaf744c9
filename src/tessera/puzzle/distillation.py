"""One small child, made by the steps of the main chain in short: some layers exchanged for one variant, and healed."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from tessera.common import files, randomness
from tessera.puzzle.child_params import ChildParams
from tessera.puzzle.library.activations import store_before
from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import Space, decompose
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.scores import divergence
from tessera.puzzle.text import Text, batches


def build(
    child: ChildParams,
    space: Space,
    params: LibraryParams,
    seed: int,
    parent: LanguageModel,
    texts: Mapping[str, Text],
    library: Path,
) -> None:
    """Write the variants of the child's layers, layer_<i>.safetensors, into the directory library.

    texts are `train` and `valid`, windows of T tokens without the token after each.
    """
    attention, ffn = decompose(child.block)
    chosen = Space(
        attention={name: variant for name, variant in space.attention.items() if name == attention},
        ffn={name: variant for name, variant in space.ffn.items() if name == ffn},
    )
    with files.scratch_directory(library) as scratch:
        train, valid = (
            store_before(child.layers, parent, texts[name].tokens, scratch / name) for name in ("train", "valid")
        )
        masks = texts["train"].mask, texts["valid"].mask
        for layer in child.layers:
            stream = partial(randomness.torch_generator, seed, "puzzle", "distillation", layer)
            around = scratch / str(layer)
            around.mkdir()
            builder = LayerLibrary(parent, layer, chosen, params, train[layer], valid[layer], stream, around, masks)
            tensors, _ = builder.build()
            files.save_tensors(library / f"layer_{layer}.safetensors", tensors)


@torch.no_grad()
def kl_div(parent: LanguageModel, child: LanguageModel, text: Text) -> float:
    """KL(parent || child) on text, nats per token that counts."""
    [batch] = batches(text.tokens, text.mask, len(text))
    last, states = (batch.counted(model.last(batch.inputs)) for model in (parent, child))
    (agreement,) = divergence.compare(parent.head, last, [(child.head, states)], batch.targets)
    return float(agreement.kl_div.double().mean())
