"""Text that models write after the same beginnings of test documents."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tessera.common import randomness
from tessera.common.files import Json
from tessera.data import tokens as streams
from tessera.puzzle.models import loading
from tessera.puzzle.serve.generate import generate
from tessera.puzzle.studies.tasks.params import SamplesParams


def document(documents: pd.DataFrame, source: str, params: SamplesParams, seed: int) -> pd.Series:
    """Return a document of a source, drawn from those that are long enough. Raises ValueError if none is."""
    length = params.prompt + params.tokens
    candidates = documents[(documents["source"] == source) & (documents["length"] >= length)]
    if candidates.empty:
        raise ValueError(
            f"the test split of {source} has no document of {length} tokens, as many as samples.prompt and "
            "samples.tokens ask for"
        )
    generator = randomness.generator(seed, "puzzle", "tasks", "samples", source)
    return candidates.iloc[generator.integers(len(candidates))]


def written(
    models: Mapping[str, Path], parent: Path, tokens: Path, separator: str | None, params: SamplesParams, seed: int
) -> list[Json]:
    """Return, for each source, the title of its document, the prompt, and each model's greedy and drawn text.

    models are directories by name; parent is the directory of the tokenizer, tokens that of the token streams. All
    models draw with the same random numbers. Raises ValueError if a source has no test document that is long enough.
    """
    tokenizer, begin = streams.tokenizer(parent / "tokenizer.json", parent / "generation_config.json", separator)
    stream, documents = streams.load(tokens, "test")
    rows, prompts = [], []
    for source in params.sources:
        chosen = document(documents, source, params, seed)
        start = int(chosen["offset"])
        end = start + params.prompt
        prompts.append([begin, *stream[start:end].tolist()])
        rows.append(
            {
                "source": source,
                "title": chosen["title"],
                "prompt": tokenizer.decode(prompts[-1][1:]),
                "document": tokenizer.decode(stream[end : end + params.tokens].tolist()),
                "greedy": {},
                "drawn": {},
            }
        )
    beginnings = torch.from_numpy(np.array(prompts))
    draws = randomness.seed(seed, "puzzle", "tasks", "samples")
    for name, directory in models.items():
        model = loading.load(directory).requires_grad_(False)
        for kind, temperature in (("greedy", 0.0), ("drawn", params.temperature)):
            texts = generate(model, beginnings, params.tokens, temperature, draws).tolist()
            for row, text in zip(rows, texts, strict=True):
                row[kind][name] = tokenizer.decode(text, skip_special_tokens=False)
    return rows
