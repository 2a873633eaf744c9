"""Log-probabilities that one model, parent or child, gives to the choices of the items."""

from pathlib import Path
from typing import Literal

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.data.params import TokensParams
from tessera.puzzle.params import ComputeParams


class Params(Section):
    """Where the model computes, and how text becomes tokens."""

    compute: ComputeParams
    tokens: TokensParams


def main(params: Params, model: Path, parent: Path, table: Path, half: Literal["all", "odd"], answers: Path) -> None:
    """Write a table of set, index, choice and log_probability, in nats; half is that of the items that are asked.

    model is a Hugging Face directory, parent that of the tokenizer.
    """
    import pandas as pd

    from tessera.puzzle import compute
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.choices import log_probabilities
    from tessera.puzzle.scores.task_items import tokenised

    devices = compute.start_all(params.compute)
    items = files.read_parquet(table)
    if half == "odd":
        items = items[items["index"] % 2 == 1]
    sums = log_probabilities(
        loading.load(model, devices).requires_grad_(False),
        tokenised(items, parent, params.tokens.separator),
        lambda batches: progress.track(batches, f"items, {answers.stem}"),
    )
    rows = [
        {"set": name, "index": index, "choice": choice, "log_probability": value}
        for name, index, values in zip(items["set"], items["index"], sums, strict=True)
        for choice, value in enumerate(values)
    ]
    files.write_parquet(answers, pd.DataFrame(rows))


if __name__ == "__main__":
    stage.run(main)
