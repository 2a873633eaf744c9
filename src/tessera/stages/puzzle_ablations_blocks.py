"""Distil the variants of a few layers from several initialisations, over several numbers of tokens, for one seed."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.ablations_params import AblationsParams
from tessera.puzzle.params import CalibrationParams, LibraryParams
from tessera.puzzle.space import Space


class Params(Section):
    """The ablations, the space, the block library and its text, and the seed of the whole."""

    ablations: AblationsParams
    space: Space
    calibration: CalibrationParams
    library: LibraryParams
    seed: int


def main(params: Params, replicate: int, parent: Path, tokens: Path, metrics: Path) -> None:
    """Write rows of layer, variant, initialisation and tokens, with held-out losses at the beginning and the end."""
    from functools import partial

    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import architecture as architectures
    from tessera.puzzle import blocks
    from tessera.puzzle.ablations import RandomLibrary
    from tessera.puzzle.library import LayerLibrary
    from tessera.puzzle.score import hidden_states

    settings, architecture = params.ablations.blocks, architectures.read(parent)
    wrong = [layer for layer in settings.layers if not 0 <= layer < architecture.num_layers]
    if wrong:
        raise ValueError(f"ablations.blocks.layers has {wrong[0]}; valid are 0 to {architecture.num_layers - 1}")
    model = blocks.load(parent).requires_grad_(False)
    window = params.calibration.window
    count = max(1, params.calibration.tokens // window)
    seed = randomness.seed(params.seed, "puzzle_ablations", "blocks", replicate)
    train = torch.from_numpy(windows(tokens, "train", window, count, seed).tokens).long()
    valid = torch.from_numpy(windows(tokens, "valid", window, params.library.valid_windows, seed).tokens).long()
    kept: dict[int, list[torch.Tensor]] = {layer: [] for layer in settings.layers}
    for batch in train.split(4):
        states = hidden_states(model, batch)[0]
        for layer in settings.layers:
            kept[layer].append(states[layer])
    held_out = hidden_states(model, valid)[0]
    work = [(la, i, t) for la in settings.layers for i in settings.initialisations for t in settings.tokens]
    rows = []
    for layer, initialisation, budget in progress.track(work, f"blocks, replicate {replicate}"):
        start = "least_squares" if initialisation == "least_squares" else "paper"
        plan = params.library.distillation.model_copy(update={"tokens": budget})
        library = params.library.model_copy(update={"initialisation": start, "distillation": plan})
        builder = RandomLibrary if initialisation == "random" else LayerLibrary
        made = builder(
            model,
            layer,
            architecture,
            params.space,
            library,
            torch.cat(kept[layer]),
            held_out[layer],
            partial(randomness.torch_generator, params.seed, "puzzle_ablations", layer, replicate),
        )
        for name, record in made.build()[1].items():
            if not record["parameters"]:
                continue
            begun = record[start]
            rows.append(
                {"replicate": replicate, "layer": layer, "variant": name, "initialisation": initialisation}
                | {"tokens": budget, "initial": begun, "distilled": record.get("distilled", begun)}
            )
    files.write_json(metrics, rows)


if __name__ == "__main__":
    stage.run(main)
