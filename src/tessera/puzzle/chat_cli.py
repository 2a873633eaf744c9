"""`tessera puzzle chat`: parent and child side by side in the terminal."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tessera.common import files
from tessera.puzzle.cli import errors
from tessera.puzzle.model_cli import app

if TYPE_CHECKING:
    from tessera.puzzle.serve.chat import Fresh

#: Where the parent is, seen from a child that compress made, or the workflow kept or exported.
PARENTS = ("../data/parent", "../../../parent")
#: The model type of children that were exported for engines, which transformers does not read.
STOCK = "nemotron-nas"


@app.command()
def chat(
    child: Annotated[Path, typer.Argument(help="directory of a child")],
    parent: Annotated[Path | None, typer.Option(help="directory of its parent; found by itself beside a run")] = None,
    engine: Annotated[
        Literal["auto", "torch", "llama.cpp"], typer.Option(help="auto: llama.cpp if it has a form for both")
    ] = "auto",
    dtype: Annotated[
        str, typer.Option(help="type of the matrices in llama.cpp, as tessera puzzle export has it")
    ] = "q8_0",
    tokens: Annotated[int, typer.Option(min=1, help="most tokens of an answer")] = 200,
    temperature: Annotated[float, typer.Option(min=0, help="0 for the likeliest token")] = 0.0,
    seed: Annotated[int, typer.Option(help="of what is drawn")] = 0,
    room: Annotated[int, typer.Option(min=16, help="most tokens of a conversation")] = 2048,
) -> None:
    """Talk with parent and child at once, a line at a time: their answers, tokens a second, and divergence.

    Lines come from the terminal or a pipe; an empty line begins a new conversation, and the end of input ends. Models
    without a chat template go on with the text. The conversation goes on with the child's answers.
    """
    from tessera.puzzle.serve import chat as talk

    with errors(), TemporaryDirectory() as scratch:
        if (child / "config.json").is_file() and files.read_json(child / "config.json").get("model_type") == STOCK:
            raise ValueError(f"{child}: is an export for an engine, in the form {STOCK}; expected the child itself")
        whole = parent_of(child) if parent is None else parent
        tokenizer, template = _tokenizer(child)
        models, where = _models((whole, child), engine, dtype, room, Path(scratch))
        typer.echo(f"{whole.name} and {child} by {where}; an empty line begins anew")
        said: list[dict[str, Any]] = []
        text = ""
        for line in _lines():
            if not line:
                said, text = [], ""
                continue
            said.append({"role": "user", "content": line})
            text = template.render(said, "the conversation", prompt=True) if template else text + line
            prompt = tokenizer.encode(text, add_special_tokens=template is None).ids
            if len(prompt) + tokens > room:
                typer.echo(f"the conversation has {len(prompt)} tokens; expected at most --room - --tokens: begin anew")
                said.pop()
                continue
            turns = talk.answers(*models, prompt, _ends(child), tokens, temperature, seed)
            answer = _show(turns, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
            said.append({"role": "assistant", "content": answer})
            text += answer


def _lines() -> Iterator[str]:
    """What is typed, without prompts where it comes from a pipe."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line.strip()


def parent_of(child: Path) -> Path:
    """The parent beside a child of a run. Raises FileNotFoundError, saying what is expected."""
    for place in PARENTS:
        if (directory := (child.resolve() / place).resolve()).joinpath("config.json").is_file():
            return directory
    raise FileNotFoundError(f"{child}: its parent is not beside it; expected --parent DIRECTORY")


def _tokenizer(child: Path) -> tuple[Any, Any]:
    """The tokenizer of a directory, and its chat template or None."""
    from tessera.data import parent
    from tessera.data.chat_template import ChatTemplate

    texts = parent.texts_of(child)
    return texts.tokenizer, ChatTemplate(child) if texts.tokenizer_config.get("chat_template") else None


def _ends(child: Path) -> list[int]:
    """Tokens that end an answer."""
    settings = files.read_json(child / "generation_config.json")
    ends = settings.get("eos_token_id")
    return ends if isinstance(ends, list) else [] if ends is None else [ends]


def _models(
    places: tuple[Path, Path], engine: str, dtype: str, room: int, scratch: Path
) -> tuple[tuple["Fresh", "Fresh"], str]:
    """Parent and child in an engine, and its name. Raises ValueError if llama.cpp is asked for and has no form."""
    from tessera.puzzle.models import loading
    from tessera.puzzle.serve import chat, gguf_export, gguf_tokenizer, gguf_types, llama_cpp

    types = gguf_types.Types(dtype)  # type: ignore[arg-type]
    models = [loading.load(place).requires_grad_(False) for place in places]
    if engine != "torch":
        paths = [scratch / f"{name}.gguf" for name in ("parent", "child")]
        try:
            for model, path in zip(models, paths, strict=True):
                gguf_export.write(model, path, gguf_tokenizer.unread(model.config.vocab_size), types)
        except ValueError as refusal:
            if engine == "llama.cpp":
                raise
            print(f"by torch: {refusal}", file=sys.stderr)
        else:
            parent, child = (partial(chat.ByLlamaCpp, path, room) for path in paths)
            return (parent, child), f"{llama_cpp.software()}, {dtype}"
    of_parent, of_child = (partial(chat.ByTorch, model, room) for model in models)
    return (of_parent, of_child), "torch, float32"


def _show(turns: Any, decode: Any) -> str:
    """Show answers as they grow; return the child's."""
    from rich.columns import Columns
    from rich.live import Live
    from rich.panel import Panel
    from rich.text import Text

    from tessera.common.console import console

    out = console()

    def drawn(turn: Any) -> Columns:
        width = max(20, out.width // 2 - 1)
        panels = [
            Panel(Text(decode(answer.tokens)), title=f"{name}, {answer.tokens_per_s:.1f} tokens/s", width=width)
            for name, answer in (("parent", turn.parent), ("child", turn.child))
        ]
        return Columns(panels)

    if out.is_terminal:
        with Live(console=out, refresh_per_second=8) as live:
            for turn in turns:
                live.update(drawn(turn))
    else:
        *_, turn = turns
        out.print(drawn(turn))
    ratio = turn.child.tokens_per_s / turn.parent.tokens_per_s if turn.parent.tokens_per_s else float("nan")
    kl = sum(turn.kl) / len(turn.kl)
    out.print(
        f"child {ratio:.2f} times as fast; KL {kl:.3f} nats a token of its answer, {len(turn.child.tokens)} tokens; "
        f"parent {len(turn.parent.tokens)}"
    )
    return decode(turn.child.tokens)
