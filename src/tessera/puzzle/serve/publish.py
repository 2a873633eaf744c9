"""A child as a directory that can be published: checkpoint in the type it is served in, its code, tokenizer."""

import shutil
from pathlib import Path

import torch

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.models.decoder import LanguageModel


def checkpoint(model: LanguageModel, source: str | Path, directory: str | Path, dtype: str) -> None:
    """Write the child that was loaded from `source` to an existing directory, its weights rounded to dtype.

    The modelling code is this package's own. Raises FileNotFoundError if source has no config.json.
    """
    source, directory = Path(source), Path(directory)
    config = files.read_json(source / "config.json")
    state = {name: value.to(getattr(torch, dtype)) for name, value in model.state().items()}
    files.save_tensors(directory / "model.safetensors", state, metadata={"format": "pt"})
    files.write_json(directory / "config.json", config | {"dtype": dtype})
    shutil.copyfile(child.CODE, directory / child.CODE.name)
    for name in (*child.TOKENIZER, "generation_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, directory / name)
