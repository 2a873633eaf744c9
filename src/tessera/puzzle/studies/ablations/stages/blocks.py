"""Distil the variants of a few layers from several initialisations, over several numbers of tokens, for one seed."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, LibraryParams
from tessera.puzzle.studies.ablations.params import BlocksParams, TextParams


class Params(Section):
    """The blocks to try and their text, the space, the block library, and the seed of the whole."""

    blocks: BlocksParams
    text: TextParams
    space: Space
    library: LibraryParams
    compute: ComputeParams
    seed: int


def main(params: Params, replicate: int, parent: Path, tokens: Path, metrics: Path) -> None:
    """Write rows of layer, variant, initialisation and tokens, with the work and held-out losses before and after."""
    from functools import partial

    from tessera.puzzle import compute
    from tessera.puzzle.library.activations import store_before
    from tessera.puzzle.models import loading
    from tessera.puzzle.studies.ablations.cases import starting
    from tessera.puzzle.studies.ablations.trials import Trials
    from tessera.puzzle.text import read

    device = compute.start(params.compute)
    settings, model = params.blocks, loading.load(parent, device).requires_grad_(False)
    last = len(model.layers) - 1
    wrong = [layer for layer in settings.layers if not 0 <= layer <= last]
    if wrong:
        raise ValueError(f"ablations.blocks.layers has {wrong[0]}; expected 0 to {last}")
    window, count = params.text.window, params.text.tokens // params.text.window
    seed = randomness.seed(params.seed, "puzzle_ablations", "blocks", replicate)
    train = read(tokens, "train", window, count, seed, target=False)
    valid = read(tokens, "valid", window, params.library.valid_windows, seed, target=False)
    work = [(layer, initialisation) for layer in settings.layers for initialisation in settings.initialisations]
    rows = []
    with files.scratch_directory(metrics) as scratch:
        before = store_before(settings.layers, model, train.tokens, scratch / "train")
        held_out = store_before(settings.layers, model, valid.tokens, scratch / "valid")
        for layer, initialisation in progress.track(work, f"blocks, replicate {replicate}"):
            with files.scratch_directory(scratch / "layer") as around:
                trials = Trials(
                    model,
                    layer,
                    params.space,
                    starting(params.library, initialisation, max(settings.tokens)),
                    before[layer],
                    held_out[layer],
                    partial(randomness.torch_generator, params.seed, "puzzle_ablations", layer, replicate),
                    around,
                    (train.mask, valid.mask),
                )
                for name, record in trials.run(initialisation, settings.tokens):
                    keys = {"replicate": replicate, "layer": layer, "variant": name, "initialisation": initialisation}
                    rows += [keys | trial for trial in record["trials"]]
    files.write_json(metrics, rows)


if __name__ == "__main__":
    stage.run(main)
