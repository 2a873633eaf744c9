"""`tessera puzzle`, continued: what is done with models, and not with block libraries alone."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tessera.puzzle import gguf_export
from tessera.puzzle.cli import app, errors


@app.command()
def gguf(
    child: Annotated[Path, typer.Argument(help="directory of a child, or of a parent")],
    out: Annotated[Path, typer.Option(help="GGUF file to write")],
    parent_gguf: Annotated[
        Path | None, typer.Option(help="GGUF file of the parent, whose tokenizer is taken over")
    ] = None,
    tokenizer_pre: Annotated[
        str | None, typer.Option(help="or llama.cpp's name of the pre-tokenizer of the directory's own tokenizer.json")
    ] = None,
    dtype: Annotated[gguf_export.Dtype, typer.Option(help="of the matrices")] = "float16",
    license_name: Annotated[str | None, typer.Option("--license", help="the parent's licence, as hubs name it")] = None,
) -> None:
    """Write a child as a GGUF file for llama.cpp, and check it by reading it back."""
    from tessera.puzzle import blocks

    with errors():
        if (parent_gguf is None) == (tokenizer_pre is None):
            raise ValueError("give one of --parent-gguf and --tokenizer-pre")
        model = blocks.load(child).requires_grad_(False)
        gguf_export.layouts(model.spec)  # before the tokenizer, whose reading takes seconds
        tokenizer: dict[str, Any]
        if parent_gguf is not None:
            tokenizer = gguf_export.tokenizer_of_gguf(parent_gguf)
        else:
            tokenizer = gguf_export.tokenizer_of_directory(child, str(tokenizer_pre), model.spec.vocab_size)
        gguf_export.write(model, out, tokenizer, dtype, child.name, license_name)
        found = gguf_export.verify(out, model, tokenizer)
    typer.echo(
        f"{out}: {found['tensors']} tensors, {found['parameters']:,} parameters, as the child's to "
        f"{found['largest_error']:.1e} of a tensor's largest value"
    )
