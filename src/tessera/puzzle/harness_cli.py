"""`tessera puzzle lm-eval`: parent and child by EleutherAI's evaluation harness."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tessera.common import files
from tessera.puzzle.chat_cli import app, parent_of
from tessera.puzzle.cli import errors


@app.command("lm-eval")
def lm_eval(
    child: Annotated[Path, typer.Argument(help="directory of a child")],
    tasks: Annotated[str, typer.Option(help="the harness's tasks or groups, comma-separated, or one's own")],
    parent: Annotated[Path | None, typer.Option(help="directory of its parent; found by itself beside a run")] = None,
    include: Annotated[Path | None, typer.Option(help="directory of one's own tasks, YAML beside JSON lines")] = None,
    engine: Annotated[
        Literal["transformers", "vllm"], typer.Option(help="vllm: installed here, with tessera-vllm")
    ] = "transformers",
    device: Annotated[str, typer.Option(help="of transformers: cpu or cuda")] = "cpu",
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="of the weights")] = "float32",
    few_shot: Annotated[
        int | None, typer.Option(min=0, help="examples before an item; the task's own by default")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="items of a task at most")] = None,
    batch: Annotated[int, typer.Option(min=1, help="items at once")] = 1,
    chat: Annotated[bool, typer.Option("--chat", help="ask by the tokenizer's chat template")] = False,
    seed: Annotated[int, typer.Option(help="of examples and standard errors")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file for the results; by default CHILD/lm-eval.json")] = None,
    mlflow_db: Annotated[Path | None, typer.Option(help="MLflow's database to log to, such as mlflow.db")] = None,
) -> None:
    """Ask parent and child the same tasks; the results go to a file and into the child's card.

    Needs the extra lm-eval. A model's own results are kept, so that a run that was interrupted asks the other alone.
    """
    from tessera.common.console import console
    from tessera.puzzle.serve import harness

    with errors():
        whole = parent_of(child) if parent is None else parent
        names = tuple(name.strip() for name in tasks.split(",") if name.strip())
        asked = harness.Asked(names, include, few_shot, limit, batch, chat, seed)
        about = f"{harness.version()} by {engine} in {dtype}, {few_shot if few_shot is not None else 'default'} shots"
        about += f", at most {limit} items of each" if limit else ""
        path = out or child / "lm-eval.json"
        request = _plain(asked) | {"engine": engine, "dtype": dtype, "parent": str(whole), "harness": harness.version()}
        found = _kept(path, request)
        for model, directory in (("parent", whole), ("child", child)):
            if model not in found:
                typer.echo(f"{model}: {directory}", err=True)
                found[model] = harness.results(directory, asked, engine, device, dtype)
                files.write_json(path, {"request": request, "results": found})
        card = child / "README.md"
        if card.is_file():
            harness.add_to_card(card, harness.section(found, about))
        if mlflow_db is not None:
            track(mlflow_db, found, asked, (whole.name, str(child)), about)
    from rich.table import Table

    table = Table("task", "metric", "items", "parent", "child", title=about)
    for task, metric, items, *values in harness.rows(found):
        table.add_row(task, metric, str(items or ""), *(f"{one['value']:.4g}" for one in values))
    console().print(table)
    typer.echo(str(path))


def _plain(asked: Any) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in vars(asked).items()} | {
        "tasks": list(asked.tasks)
    }


def _kept(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Results of an earlier call that asked the same."""
    if not path.is_file():
        return {}
    before = files.read_json(path)
    return before["results"] if before.get("request") == request else {}


def track(database: Path, found: Mapping[str, Mapping[str, Any]], asked: Any, names: Sequence[str], about: str) -> None:
    """Log a run for each model to MLflow, in experiment puzzle/lm-eval of a database."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient(f"sqlite:///{database.resolve()}")
    there = client.get_experiment_by_name("puzzle/lm-eval")
    experiment = client.create_experiment("puzzle/lm-eval") if there is None else there.experiment_id
    for model, name in zip(("parent", "child"), names, strict=True):
        run = client.create_run(experiment, run_name=name)
        metrics = [
            Metric(f"{task}/{metric}".replace("(", "").replace(")", ""), float(one["value"]), run.info.start_time, 0)
            for task, values in found[model].items()
            for metric, one in values.items()
            if metric not in ("version", "items")
        ]
        params = [Param("tasks", ",".join(asked.tasks)), Param("few_shot", str(asked.few_shot))]
        params += [Param("limit", str(asked.limit)), Param("seed", str(asked.seed))]
        client.log_batch(run.info.run_id, metrics, params, [RunTag("model", model), RunTag("harness", about)])
        client.set_terminated(run.info.run_id)
