"""`tessera puzzle export`: a child in the form that an engine reads unmodified."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tessera.common import files
from tessera.puzzle.cli import errors
from tessera.puzzle.harness_cli import app
from tessera.puzzle.serve import gguf_types

Engine = Literal["hf", "vllm", "llama.cpp", "tensorrt-llm", "mlx"]
#: Types of the checkpoints that are directories.
DTYPES = ("bfloat16", "float16", "float32")


@app.command()
def export(
    child: Annotated[Path, typer.Argument(help="directory of a child, or of a parent")],
    engine: Annotated[Engine, typer.Option("--for", help="hf is transformers")],
    out: Annotated[
        Path, typer.Option(help="directory to write, a new one or an earlier export; for llama.cpp, GGUF file")
    ],
    dtype: Annotated[
        gguf_types.Dtype | None,
        typer.Option(help="type of the weights; bfloat16 by default, and float16 of the matrices for llama.cpp"),
    ] = None,
    maps_as_ffns: Annotated[
        bool,
        typer.Option("--maps-as-ffns", help="for vllm: write linear maps as gated FFNs, of thrice the weights"),
    ] = False,
    parent_gguf: Annotated[
        Path | None, typer.Option(help="for llama.cpp: GGUF file of the parent, whose tokenizer is copied")
    ] = None,
    tokenizer_pre: Annotated[
        str | None,
        typer.Option(help="instead, llama.cpp's name of the pre-tokenizer of the directory's tokenizer.json"),
    ] = None,
    tensor_type: Annotated[
        list[str],
        typer.Option(
            help="for llama.cpp: type of the matrices whose name contains a regular expression, as in ffn_down=q5_0; "
            "may be repeated"
        ),
    ] = [],  # noqa: B006  Typer wants a list
    license_name: Annotated[
        str | None, typer.Option("--license", help="the parent's licence, as hubs name it, where no card says it")
    ] = None,
) -> None:
    """Write a child as an engine reads it, or say what in it the engine cannot compute.

    transformers, vLLM, TensorRT-LLM and MLX read a child of one size, some layers of which may be dropped, as its
    parent's plain class; other children vLLM, TensorRT-LLM and MLX read as Nemotron-NAS, and transformers by the code
    in the directory. llama.cpp reads a GGUF file, which is verified by reading it back.
    """
    with errors():
        if not child.is_dir():
            raise ValueError(f"{child}: {'is a file' if child.exists() else 'no such directory'}; expected a child's")
        if engine == "llama.cpp":
            if maps_as_ffns:
                raise ValueError("--maps-as-ffns is for vllm; llama.cpp has linear maps")
            out = _place(child, out, engine)
            _gguf(child, out, dtype or "float16", parent_gguf, tokenizer_pre, tensor_type, license_name)
            return
        given = {"--parent-gguf": parent_gguf, "--tokenizer-pre": tokenizer_pre, "--tensor-type": tensor_type}
        if wrong := [name for name, value in given.items() if value]:
            raise ValueError(f"{wrong[0]} is for llama.cpp, not for {engine}")
        if maps_as_ffns and engine != "vllm":
            raise ValueError(f"--maps-as-ffns is for vllm; {engine} has linear maps")
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"--dtype {dtype} is for llama.cpp; expected one of {', '.join(DTYPES)} for {engine}")
        out = _place(child, out, engine)
        _checkpoint(child, out, engine, dtype or "bfloat16", maps_as_ffns, license_name)


def _place(child: Path, out: Path, engine: Engine) -> Path:
    """The place to write to, without links. Raises ValueError if something else is there that would be lost."""
    place, source = out.resolve(), child.resolve()
    if place == source or place.is_relative_to(source) or source.is_relative_to(place):
        raise ValueError(f"--out {out}: is the child's own directory, in it or around it; expected another place")
    if out.is_symlink():
        raise ValueError(f"--out {out}: is a link; expected a new place, or an earlier export")
    if not place.exists():
        return place
    if engine == "llama.cpp":
        if not place.is_file() or not _begins(place, b"GGUF"):
            raise ValueError(f"--out {out}: is there, and is no GGUF file; expected a new file, or an earlier export")
    elif not place.is_dir():
        raise ValueError(f"--out {out}: is a file; expected a directory, a new one or an earlier export")
    elif any(place.iterdir()) and not _is_export(place):
        raise ValueError(f"--out {out}: is not empty, and no earlier export, which would be replaced")
    return place


def _begins(path: Path, content: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(content)) == content


def _is_export(place: Path) -> bool:
    try:
        return "for" in files.read_json(place / "export.json")
    except (OSError, ValueError, TypeError):
        return False


def _checkpoint(child: Path, out: Path, engine: Any, dtype: Any, maps_as_ffns: bool, license_name: str | None) -> None:
    from tessera.puzzle.serve.stock import export

    report = export.write(child, out, engine, dtype, maps_as_ffns, license_name)
    typer.echo(f"{out}: {report.form}, {report.parameters:,} parameters in {dtype}")
    for line in (*report.notes, *(f"checked: {check}" for check in report.checked)):
        typer.echo(f"  {line}")


def _gguf(
    child: Path,
    out: Path,
    dtype: gguf_types.Dtype,
    parent_gguf: Path | None,
    tokenizer_pre: str | None,
    tensor_type: list[str],
    license_name: str | None,
) -> None:
    from tessera.puzzle.models import loading
    from tessera.puzzle.serve import gguf_export, gguf_layouts, gguf_tokenizer

    if parent_gguf is not None and not parent_gguf.is_file():
        raise ValueError(f"--parent-gguf {parent_gguf}: no such file")
    types = gguf_types.Types(dtype, dict(map(_tensor_type, tensor_type)))
    model = loading.load(child).requires_grad_(False)
    gguf_layouts.layouts(model)  # before the tokenizer, whose reading takes seconds
    if (parent_gguf is None) == (tokenizer_pre is None):
        raise ValueError(
            "give one of --parent-gguf, and --tokenizer-pre with llama.cpp's name of how the tokenizer cuts text "
            "before its merges, such as smollm, llama-bpe or qwen2"
        )
    tokenizer: dict[str, Any]
    if parent_gguf is not None:
        tokenizer = gguf_tokenizer.of_gguf(parent_gguf)
    else:
        tokenizer = gguf_tokenizer.of_directory(child, str(tokenizer_pre), model.config.vocab_size)
    gguf_export.write(model, out, tokenizer, types, child.name, license_name)
    report = gguf_export.verify(out, model, tokenizer, types)
    started = _started(out)
    typer.echo(
        f"{out}: architecture {report['architecture']}, {report['tensors']} tensors ("
        + ", ".join(f"{count} {name}" for name, count in report["types"].items())
        + f"), {report['parameters']:,} parameters, as the child's to "
        f"{report['largest_error']:.1e} of a tensor's largest value" + started
    )


def _started(out: Path) -> str:
    """Whether llama.cpp itself starts with the file, in words. Raises ValueError, without the file, if it does not."""
    if find_spec("xllamacpp") is None:
        return "; llama.cpp was not tried, for xllamacpp is not installed"
    from tessera.puzzle.serve.llama_cpp import Engine, software

    try:
        Engine(out, 16, 1).complete([0], 1)  # a token too: an engine that never answered does not end
    except RuntimeError as error:
        out.unlink()
        raise ValueError(f"{error}; is it the pre-tokenizer's name? Nothing was written") from None
    return f"; {software()} starts with it"


def _tensor_type(text: str) -> tuple[str, Any]:
    pattern, found, dtype = text.rpartition("=")
    if not found:
        raise ValueError(f"--tensor-type {text}: expected a regular expression and a type, as in ffn_down=q5_0")
    return pattern, dtype
