"""`tessera puzzle compress`: one model, one command."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tessera.puzzle.cli import errors
from tessera.puzzle.export_cli import app


@app.command()
def compress(
    model: Annotated[str, typer.Argument(help="Hugging Face directory, package:NAME or hub:OWNER/NAME@REVISION")],
    more: Annotated[list[str] | None, typer.Argument(help="further files of text")] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="your text: .txt, .jsonl (.gz, .zst), .json, .parquet, patterns, directories; NAME=FILE makes "
            "sources of them; may be repeated"
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(help="cpu, cpu-torch and cuda measure this machine; h100, l40s and others are computed"),
    ] = "cpu",
    speedup: Annotated[float | None, typer.Option(help="whole model, multiple of the parent's; 1.3 by default")] = None,
    memory: Annotated[str | None, typer.Option(help="weights and KV cache, as 60% of the parent's, or MiB")] = None,
    throughput: Annotated[float | None, typer.Option(help="tokens per second, those of the prompts included")] = None,
    out: Annotated[Path | None, typer.Option(help="directory of the run; by default MODEL-TARGET here")] = None,
    budget_minutes: Annotated[float | None, typer.Option(help="time; tokens are scaled to it", min=0)] = None,
    text_format: Annotated[
        Literal["text", "messages"], typer.Option("--format", help="text, or lists of {role, content}")
    ] = "text",
    field: Annotated[str | None, typer.Option(help="field of a row that holds the text; text or messages")] = None,
    loss: Annotated[
        Literal["all", "answers"], typer.Option(help="tokens of conversations that count: all, or only the assistant's")
    ] = "all",
    window: Annotated[
        int | None,
        typer.Option(help="also search attention that sees this many tokens; all text is read 4 times as long"),
    ] = None,
    stock: Annotated[
        bool,
        typer.Option("--stock", help="layers of one size, some dropped: a plain class that every engine reads"),
    ] = False,
    license_name: Annotated[str | None, typer.Option("--license", help="the model's licence, for the card")] = None,
    tasks: Annotated[bool, typer.Option(help="ask parent and child a few task items")] = True,
    cores: Annotated[int | None, typer.Option(help="jobs at once; all cores by default", min=1)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print the plan")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="plan and result as one JSON object on stdout")] = False,
) -> None:
    """Compress a model on your own text: plan, run and card. The same command resumes an interrupted run."""
    from tessera.puzzle.compress import REPOSITORY, plan, request, result, run

    with errors():
        asked = run.request(
            model, [*(text or []), *(more or [])], target, request.limit_of(speedup, memory, throughput),
            format=text_format, field=field, loss=loss, window=window, stock=stock, license=license_name, tasks=tasks,
            budget_minutes=budget_minutes, cores=cores or len(os.sched_getaffinity(0)),
        )  # fmt: skip
        place = (out or Path(f"{asked.name}-{target}")).absolute()
        try:
            say = _printer(as_json)
            made = run.planned(asked, place, _follow(place, REPOSITORY), _note)
            for line in plan.lines(made):
                say(line)
            found: dict[str, Any] | None = None
            if not dry_run:
                plan.write(made, place)
                run.run(made, place, _follow(place, REPOSITORY), _note)
                found = result.read(made, place)
                result.publish(made, found, place)
                say("")
                for line in result.lines(made, found, place):
                    say(line)
        except RuntimeError as error:  # of Snakemake, in words
            raise ValueError(str(error)) from error
        except KeyboardInterrupt:
            _note("interrupted; the same command resumes")
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps({"plan": made.as_dict(), "result": found}, indent=1, sort_keys=True))


def _printer(as_json: bool) -> Any:
    """Prints a line: to stdout, or to stderr where stdout is for JSON."""
    return lambda line: typer.echo(line, err=as_json)


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _follow(place: Path, root: Path) -> Any:
    """What runs the workflow in a directory and yields what it prints."""

    def follow(arguments: list[str]) -> Any:
        from tessera.workflow import run as runner

        return runner.follow(arguments, place, root)

    return follow
