"""Log-probabilities that one model, parent or child, gives to the choices of the items."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tessera.common import files, progress, stage
from tessera.data.params import TokensParams

if TYPE_CHECKING:
    import pandas as pd

    from tessera.puzzle.scores.choices import Tokens


def packed(items: "pd.DataFrame", parent: Path, separator: str | None) -> "list[Tokens]":
    """Items as tokens, the separator before each prompt; parent is the directory of the tokenizer."""
    from tessera.data import tokens
    from tessera.puzzle.scores.choices import Tokens

    tokenizer, begin = tokens.tokenizer(parent / "tokenizer.json", parent / "generation_config.json", separator)
    prompts = tokens.encode(tokenizer, items["prompt"].tolist())
    return [
        Tokens([begin, *prompt.tolist()], [choice.tolist() for choice in tokens.encode(tokenizer, choices)])
        for prompt, choices in zip(prompts, items["choices"].map(list), strict=True)
    ]


def main(
    params: TokensParams, model: Path, parent: Path, items: Path, half: Literal["all", "odd"], answers: Path
) -> None:
    """Write a table of set, index, choice and log_probability, in nats; half is that of the items that are asked.

    model is a Hugging Face directory, parent that of the tokenizer.
    """
    import pandas as pd

    from tessera.puzzle.models import blocks
    from tessera.puzzle.scores.choices import log_probabilities

    table = files.read_parquet(items)
    if half == "odd":
        table = table[table["index"] % 2 == 1]
    found = log_probabilities(
        blocks.load(model).requires_grad_(False),
        packed(table, parent, params.separator),
        lambda batches: progress.track(batches, f"items, {answers.stem}"),
    )
    rows = [
        {"set": name, "index": index, "choice": choice, "log_probability": value}
        for name, index, values in zip(table["set"], table["index"], found, strict=True)
        for choice, value in enumerate(values)
    ]
    files.write_parquet(answers, pd.DataFrame(rows))


if __name__ == "__main__":
    stage.run(main)
