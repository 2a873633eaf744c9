"""Export a kept child: a directory with checkpoint, model card and, if llama.cpp can compute it, a GGUF file."""

import tempfile
from pathlib import Path
from typing import Any

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.serve.params import ExportParams


class Source(Section):
    """A text that the child learned from."""

    package: str
    content: str
    """Licence of the text."""


class Params(Section):
    """export, the parent as params.yaml names it, and what its packages say."""

    export: ExportParams
    parent: str
    member: str | None = None
    """Path of the parent's GGUF file in its package, if it is in one."""
    sources: dict[str, Source]


def main(
    params: Params,
    target: str,
    method: str,
    parent: Path,
    source: list[Path],
    child: Path,
    curve: Path,
    choices: Path,
    info: Path,
    evaluation: Path,
    speed: Path,
    export: Path,
) -> None:
    """source is what the parent came in, a package or its pieces; curve and evaluation are of healing and test text.

    speed is what was measured of all children.
    """
    from tessera.puzzle.child import chosen
    from tessera.puzzle.models import loading
    from tessera.puzzle.serve import card, gguf_export, gguf_layouts, publish, vllm

    row = chosen(choices, method)
    model = loading.load(child).requires_grad_(False)
    name = f"{params.parent.rpartition(':')[2].rpartition('/')[2]}-puzzle-{target}"
    report: dict[str, Any] = {"child": name, "gguf": None, "refusal": None}
    with files.replacing_directory(export) as directory:
        publish.checkpoint(model, child, directory, params.export.checkpoint)
        try:
            gguf_layouts.layouts(model)
            tokenizer = _tokenizer(params, source, child, model.config.vocab_size)
        except ValueError as refusal:  # the checkpoint is a result by itself
            report["refusal"] = str(refusal)
            words = f"no file here: {refusal}."
        else:
            file = directory / f"{name}.gguf"
            gguf_export.write(model, file, tokenizer, params.export.types(), name, params.export.license)
            report["gguf"] = gguf_export.verify(file, model, tokenizer, params.export.types())
            words = card.gguf_words(report["gguf"], file.name)
        facts = card.Facts(
            name=name,
            parent=params.parent.partition(":")[2],
            license=params.export.license,
            dtype=params.export.checkpoint,
            model=model,
            parameters=sum(value.numel() for value in model.parameters()),
            target=target,
            search=row,
            info=files.read_json(info),
            scores=files.read_json(evaluation)["states"]["full"],
            origin=[path.name for path in source],
            served=list(files.read_json(speed)["served"].values()),
            sources=[(text, package.package, package.content) for text, package in params.sources.items()],
            training_tokens=files.read_json(curve)["tokens"][-1],
            gguf=words,
        )
        report["vllm_obstacle"] = vllm.obstacle(model)
        files.write_text(directory / "README.md", card.card(facts))
        files.write_json(directory / "export.json", report)


def _tokenizer(params: Params, source: list[Path], child: Path, vocab_size: int) -> dict[str, Any]:
    """The tokenizer's keys: the parent's own if it was a GGUF file. Raises ValueError if they are not known."""
    from tessera.data import packages
    from tessera.puzzle.serve import gguf_tokenizer

    if params.member is not None:
        with tempfile.TemporaryDirectory() as temporary:
            gguf = Path(temporary) / "parent.gguf"
            packages.extract(source, params.member, gguf)
            return gguf_tokenizer.of_gguf(gguf)
    if params.export.tokenizer_pre is None:
        raise ValueError("puzzle_extras.export.tokenizer_pre is null, and the parent is not a GGUF file that states it")
    return gguf_tokenizer.of_directory(child, params.export.tokenizer_pre, vocab_size)


if __name__ == "__main__":
    stage.run(main)
