"""`tessera puzzle`, continued: commands about models rather than block libraries."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tessera.common import files
from tessera.puzzle.cli import app, errors
from tessera.puzzle.search.best_batch import Service

Scores = Annotated[list[Path], typer.Option(help="scores of the layers, as puzzle_scores writes them; may be repeated")]
Config = Annotated[Path, typer.Option(help="the parent's config.json")]
SpaceFile = Annotated[Path, typer.Option(help="params.yaml, or a file with only the section puzzle.space")]


@app.command()
def serve(
    scores: Scores,
    config: Config,
    space: SpaceFile = Path("params.yaml"),
    source: Annotated[str, typer.Option(help="kernel-database or roofline")] = "kernel-database",
    software: Annotated[str, typer.Option(help="trtllm, vllm or sglang (for kernel-database)")] = "",
    hardware: Annotated[str, typer.Option(help="as in puzzle.costs.targets: h100-sxm, l40s and so on")] = "h100-sxm",
    dtype: Annotated[str, typer.Option(help="bfloat16 or fp8")] = "bfloat16",
    batches: Annotated[str, typer.Option(help="comma-separated batch sizes to try")] = "1,8,16,32,64,128,256",
    prefill: Annotated[int, typer.Option(help="tokens per prompt")] = 512,
    decode: Annotated[int, typer.Option(help="tokens generated")] = 512,
    throughput: Annotated[float | None, typer.Option(help="minimal tokens per second")] = None,
    counted: Annotated[str, typer.Option(help="tokens that throughput counts: output or all")] = "output",
    memory_mib: Annotated[float | None, typer.Option(help="maximal memory of weights and the batch's KV cache")] = None,
    latency_ms: Annotated[float | None, typer.Option(help="maximal time until the batch is done")] = None,
    first_token_ms: Annotated[
        float | None, typer.Option(help="maximal time until every sequence has its first token")
    ] = None,
    parameters: Annotated[float | None, typer.Option(help="maximal parameters of the whole model")] = None,
    objective: Annotated[str, typer.Option(help="score to minimise (summed over layers)")] = "metrics.kl_div",
    out: Annotated[Path | None, typer.Option(help="JSON file for the result")] = None,
) -> None:
    """Find the best child and batch size for a service. Budgets apply to the whole model."""
    from tessera.puzzle.models import architecture
    from tessera.puzzle.search import best_batch

    with errors():
        shape, variants = architecture.from_config(files.read_json(config), config), _space(space)
        layers = {int(layer): scored for path in scores for layer, scored in files.read_json(path).items()}
        if layers.keys() != (every := set(range(shape.num_layers))):
            raise ValueError(
                f"--scores: of {len(layers.keys() & every)} of the {len(every)} layers of {config}, and of "
                f"{len(layers.keys() - every)} others; expected those of every layer, once for each part"
            )
        shared = {"source": source, "hardware": hardware, "software": software, "dtype": dtype}
        tables = {batch: _table(shape, variants, shared, batch, prefill, decode) for batch in _batches(batches)}
        limits = {"throughput": throughput, "memory_mib": memory_mib, "latency_ms": latency_ms}
        limits |= {"first_token_ms": first_token_ms, "parameters": parameters}
        if counted not in ("output", "all"):
            raise ValueError(f"--counted: {counted!r}; expected output or all")
        service = Service(**limits, counted=counted)  # type: ignore[arg-type]
        best, words = best_batch.solve([layers[i] for i in sorted(layers)], tables, service, objective)
        for batch, said in words.items():
            typer.echo(f"batch {batch}: {said}")
        if best is None:
            raise ValueError("no batch has a child within the budgets")
        typer.echo(f"best: batch {best.batch}, " + ", ".join(f"{k} {v:.6g}" for k, v in best.costs.items()))
        if out is not None:
            request = (
                shared | limits | {"counted": counted, "prefill": prefill, "decode": decode, "objective": objective}
            )
            answer = {"batch": best.batch, "costs": best.costs, "solution": best.solution.as_dict(), "request": request}
            files.write_json(out, answer)


def _batches(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise ValueError(f"--batches: {text!r}; expected comma-separated whole numbers, as in 1,16,64")
    return sizes


def _space(path: Path) -> Any:
    """The space in a params.yaml, or in a file that holds nothing else."""
    from tessera.common import params
    from tessera.puzzle.models.space import Space

    content = params.read(path)
    content = content["puzzle"]["space"] if "puzzle" in content else content
    return params.check(Space, content, [(str(path), content)])


def _table(shape: Any, space: Any, shared: dict[str, str], batch: int, prefill: int, decode: int) -> Any:
    from tessera.common import params
    from tessera.puzzle.costs.params import CostTarget
    from tessera.puzzle.costs.tables import of_target

    target = shared | {"workload": {"batch": batch, "prefill": prefill, "decode": decode}}
    return of_target(shape, space, params.check(CostTarget, target, [("options", target)]))


ParamsFiles = Annotated[
    list[Path], typer.Option(help="params.yaml and overlays such as params/paper.yaml; may be repeated")
]


@app.command()
def parent(
    directory: Annotated[Path, typer.Argument(help="Hugging Face directory")],
    params: ParamsFiles = [],  # noqa: B006  Typer wants a list
) -> None:
    """Show whether a model can be a parent, which variants it can have, and the memory that each step needs.

    Runs it on a few tokens. The memory is that of the parameters given, or of those in params.yaml if it is there.
    """
    from rich.table import Table

    from tessera import params as parameters
    from tessera.common.console import console
    from tessera.puzzle.models import admission, architecture, loading
    from tessera.puzzle.models import sizes as counted

    given = params or [path for path in [Path("params.yaml")] if path.is_file()]
    with errors():
        settings = parameters.load(given[0], *given[1:]).puzzle if given else None
        model = loading.load(directory)
        result = admission.examine(model)
    size = sum(weight.numel() for weight in model.parameters())
    shape = f"{len(model.layers)} layers, hidden size {model.hidden_size:,}, {size:,} parameters"
    table = Table("variant", "possible", "because", title=f"{model.config.model_type}: {shape}")
    for kind in result.works:
        table.add_row(kind, "yes", "")
    for kind, reason in result.failed.items():
        table.add_row(kind, "no", reason)
    out = console(width=None if console().is_terminal else 120)
    out.print(table)
    if settings is None:
        return
    named = ", ".join(map(str, given))
    try:
        result.check(settings.space, model)
        steps = counted.steps(architecture.read(directory), settings)
    except ValueError as error:  # the question is answered; the parameters are of another parent
        out.print(f"{named}: {error}", markup=False)
        return
    table = Table("step", "jobs", "memory per job, GiB", "disk, GiB", title=f"with {named}")
    for step in steps:
        table.add_row(step.name, str(step.jobs), f"{step.memory / 2**30:,.2f}", f"{step.disk / 2**30:,.2f}")
    out.print(table)


@app.command()
def sizes(
    shapes: Annotated[list[str], typer.Argument(help="names such as llama-3.1-8b, or paths of config.json")],
    params: ParamsFiles = [Path("params.yaml")],  # noqa: B006  Typer wants a list
    peak: Annotated[
        float, typer.Option(min=0, help="peak TFLOP/s of a device; an H100 has 67 in float32, 989 in bf16")
    ] = 67,
    utilisation: Annotated[float, typer.Option(min=0, max=1, help="fraction of the peak that is reached")] = 0.4,
) -> None:
    """Estimate what parents need: jobs, device-hours, memory and disk of each step, counted from shapes."""
    from rich.table import Table

    from tessera import params as parameters
    from tessera.common.console import console
    from tessera.puzzle.costs import profile
    from tessera.puzzle.models import sizes as counted

    with errors():
        if not peak * utilisation:
            raise ValueError("--peak and --utilisation must be greater than 0")
        settings = parameters.load(params[0], *params[1:]).puzzle
        counts = {shape: counted.steps(profile.shape(shape), settings) for shape in shapes}
    table = Table("parent", "step", "jobs", "PFLOP", "device-hours", "memory per job, GiB", "disk, GiB")
    for shape, steps in counts.items():
        for step in steps:
            hours = step.flops / (peak * 1e12 * utilisation) / 3600
            sizes = (f"{size / 2**30:,.1f}" for size in (step.memory, step.disk))
            table.add_row(shape, step.name, str(step.jobs), f"{step.flops / 1e15:,.1f}", f"{hours:,.2f}", *sizes)
    console(width=None if console().is_terminal else 120).print(table)
