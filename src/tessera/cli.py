"""`tessera`: the commands for people. Stages have their own: python -m tessera.STUDY.stages.STAGE --help."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Column, Table

from tessera import params as parameters
from tessera.common import describe as describe_params
from tessera.common import files
from tessera.common.console import console
from tessera.puzzle.compress_cli import app as puzzle
from tessera.workflow import dvc_stages, tracking
from tessera.workflow import run as runner

app = typer.Typer(
    help="Data-versioned, reproducible experiments.", no_args_is_help=True, pretty_exceptions_enable=False
)
params = typer.Typer(help="The parameters of experiments.", no_args_is_help=True)
app.add_typer(params, name="params")
app.add_typer(puzzle, name="puzzle")

#: What a run leaves behind: what it is called, and where it is.
RESULTS = (
    ("figures", "reports/figures"),
    ("tables", "reports/tables"),
    ("children", "data/puzzle/children"),
    ("report", "reports/report.html"),
)
#: Snakemake's options may follow those of `tessera run`.
PASS = {"allow_extra_args": True, "ignore_unknown_options": True}


@contextmanager
def _errors() -> Iterator[None]:
    """Show expected errors as one line."""
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        outside = isinstance(error, FileNotFoundError) and not Path("Snakefile").exists()
        here = f"; {Path.cwd()} has no Snakefile: expected the root of a checkout" if outside else ""
        typer.echo(f"error: {error}{here}", err=True)
        raise typer.Exit(1) from error


@app.command(context_settings=PASS)
def run(context: typer.Context) -> None:
    """Run the workflow or the given targets, and show the results. Takes the options of snakemake, such as -n."""
    with _errors():
        status = runner.run(context.args)
    if status:
        raise typer.Exit(status)
    if not {"-n", "--dry-run", "--dryrun"} & {*context.args}:
        show()


@app.command()
def smoke() -> None:
    """Run the whole workflow on a small scale, in build/smoke."""
    files = [str(Path(name).resolve()) for name in ("params.yaml", "params/smoke.yaml")]
    with _errors():
        status = runner.run(["--configfile", *files, "--", "all"], "build/smoke")
    if status:
        raise typer.Exit(status)


@app.command()
def show() -> None:
    """Show the table of results, and where everything is."""
    out = console()
    table = Path("reports/tables/puzzle/results.md")
    if table.exists():
        out.print(Markdown(table.read_text(encoding="utf-8")))
    for name, place in RESULTS:
        if Path(place).exists():
            out.print(f"{name:9} {place}", highlight=False)
    out.print(f"{'runs':9} make ui, then http://127.0.0.1:5000", highlight=False)


@app.command()
def track(port: Annotated[int, typer.Option(help="port of make ui, for the addresses")] = 5000) -> None:
    """Fill MLflow's database from the run files in reports/runs, and print the addresses of the saved views."""
    from tessera.workflow import views

    with _errors():
        if not Path("reports/runs").is_dir():
            raise FileNotFoundError("reports/runs: no such directory; a run writes it")
        try:
            typer.echo(f"{tracking.sync()} new runs in {tracking.DATABASE}")
        finally:  # if one run file is refused, the others can still be viewed
            for name, address in views.save().items():
                typer.echo(f"{name}: http://127.0.0.1:{port}/#{address}")


@app.command()
def dvc() -> None:
    """Update the commands, dependencies and parameters in dvc.yaml from Snakemake's rules."""
    with _errors():
        changed = dvc_stages.refresh()
        without = dvc_stages.studies_without_stages()
    typer.echo(f"changed: {', '.join(changed)}" if changed else "dvc.yaml agrees with the rules")
    if without:
        typer.echo(f"no stage yet: {', '.join(without)}; docs/extending.md shows one")


@app.command()
def readme() -> None:
    """Fill the results and costs in README.md and the other documents from the files of the last run."""
    from tessera.workflow import readme as document

    with _errors():
        changed = document.update()
    typer.echo(f"changed: {', '.join(changed)}" if changed else "nothing changed")


@app.command()
def verify() -> None:
    """Check every claim in reports/claims.yaml against the results, and write reports/tables/claims.md."""
    from tessera.workflow import claims

    with _errors():
        verdicts = claims.verify()
        files.write_text("reports/tables/claims.md", claims.table(verdicts))
    table = Table("study", "claim", "criterion", "result", "null", "", box=None)
    for verdict in verdicts:
        table.add_row(
            verdict.study, verdict.name, verdict.claim.criterion, verdict.result, verdict.against, verdict.status
        )
    console().print(table)
    counts = Counter(verdict.status for verdict in verdicts)
    typer.echo(", ".join(f"{counts[status]} {status}" for status in ("pass", "fail", "missing")))
    if counts["pass"] < len(verdicts):
        raise typer.Exit(1)


@params.command()
def check(
    overlays: Annotated[list[Path] | None, typer.Argument(help="files laid over params.yaml, in order")] = None,
) -> None:
    """Check params.yaml, with overlays if given."""
    with _errors():
        parameters.load("params.yaml", *(overlays or []))
    typer.echo("valid")


@params.command()
def describe(
    section: Annotated[str, typer.Argument(help="section or key, such as puzzle.search; all by default")] = "",
) -> None:
    """Describe the parameters: key, type and range, value in params.yaml, and meaning."""
    with _errors():
        rows = describe_params.rows(parameters.load("params.yaml"), section)
    table = Table(Column("key", no_wrap=True), "type", Column("value", overflow="fold"), "meaning", box=None)
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)
