"""The parent writes the training text of the healings that take no text of people."""

from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.puzzle.params import CalibrationParams, ComputeParams
from tessera.puzzle.studies.healing_curve.params import HealingCurveParams


class Params(Section):
    """The study, the length of its pieces of text, and the seed of the whole."""

    healing_curve: HealingCurveParams
    calibration: CalibrationParams
    compute: ComputeParams
    seed: int


def main(params: Params, parent: Path, tokens: Path, streams: list[Path], loss: list[Path], documents: Path) -> None:
    """Write token streams as data_tokens does: the split train is the parent's, the split valid that of tokens.

    loss is the file of which tokens of valid count, if not all do.
    """
    import pandas as pd

    from tessera.data import tokens as text
    from tessera.puzzle import compute
    from tessera.puzzle.models import loading
    from tessera.puzzle.studies.healing_curve import written

    settings, length = params.healing_curve, params.calibration.window + 1
    if settings.written.prompt >= length:
        raise ValueError(
            f"puzzle_studies.healing_curve.written.prompt = {settings.written.prompt}: a piece of text has {length} "
            "tokens; expected fewer"
        )
    device = compute.start(params.compute)
    model = loading.load(parent, device).requires_grad_(False)
    stream, table = text.load(tokens, "train")
    count = -(-settings.tokens[-1] // params.calibration.window)
    prompts = written.beginnings(stream, table, count, settings.written.prompt, params.seed)
    pieces = written.write(
        model,
        prompts,
        length,
        settings.written,
        params.seed,
        lambda starts: progress.track(starts, "text of the parent"),
    )
    separator = int(stream[int(table["offset"].iloc[0]) + int(table["length"].iloc[0])])
    own, offsets = text.stream(list(pieces), separator)
    valid, kept = text.load(tokens, "valid")
    for path in streams:
        files.write_npy(path, own if path.stem == "train" else valid)
    for path in loss:
        files.write_npy(path, files.read_npy(text.loss_path(tokens, "valid")))
    rows = {"source": written.SOURCE, "title": [f"piece {i}" for i in range(count)], "split": "train"}
    new = pd.DataFrame(rows | {"offset": offsets, "length": length})
    if "prefix" in kept:
        new["prefix"] = table["prefix"].iloc[0]  # a prompt begins as its document does
    files.write_parquet(documents, pd.concat([new, kept], ignore_index=True))


if __name__ == "__main__":
    stage.run(main)
