"""Text that the parent and the kept children write after the same beginnings of test documents."""

from pathlib import Path

from tessera.common import files, randomness, stage
from tessera.common.params import Section
from tessera.data.params import TokensParams
from tessera.puzzle.studies.tasks.params import TasksParams


class Params(Section):
    """What is written, the token that stands before a text, and the seed of the whole study."""

    tasks: TasksParams
    tokens: TokensParams
    seed: int


def main(params: Params, parent: Path, children: list[Path], tokens: Path, samples: Path) -> None:
    """Write, for each source, the title of its document, the prompt, and each model's greedy and drawn text.

    Raises ValueError where a source has no test document that is long enough.
    """
    import numpy as np
    import torch

    from tessera.data import tokens as streams
    from tessera.puzzle.models import blocks
    from tessera.puzzle.serve.generate import generate

    settings = params.tasks.samples
    tokenizer, separator = streams.tokenizer(
        parent / "tokenizer.json", parent / "generation_config.json", params.tokens.separator
    )
    stream, documents = streams.load(tokens, "test")
    rows, prompts = [], []
    for source in settings.sources:
        own = documents[(documents["source"] == source) & (documents["length"] >= settings.prompt + settings.tokens)]
        if own.empty:
            raise ValueError(
                f"{tokens}: the test split of {source} has no document of {settings.prompt + settings.tokens} tokens, "
                "as many as samples.prompt and samples.tokens ask for"
            )
        chosen = own.iloc[randomness.generator(params.seed, "puzzle", "tasks", "samples", source).integers(len(own))]
        begin = int(chosen["offset"])
        prompts.append([separator, *stream[begin : begin + settings.prompt].tolist()])
        goes_on = stream[begin + settings.prompt : begin + settings.prompt + settings.tokens].tolist()
        rows.append(
            {
                "source": source,
                "title": chosen["title"],
                "prompt": tokenizer.decode(prompts[-1][1:]),
                "document": tokenizer.decode(goes_on),
                "greedy": {},
                "drawn": {},
            }
        )
    given = torch.from_numpy(np.array(prompts))
    seed = randomness.seed(params.seed, "puzzle", "tasks", "samples")
    for place in (parent, *children):
        model = blocks.load(place).requires_grad_(False)
        for kind, temperature in (("greedy", 0.0), ("drawn", settings.temperature)):
            written = generate(model, given, settings.tokens, temperature, seed).tolist()
            for row, text in zip(rows, written, strict=True):
                row[kind][place.name] = tokenizer.decode(text, skip_special_tokens=False)
    files.write_json(samples, rows)


if __name__ == "__main__":
    stage.run(main)
