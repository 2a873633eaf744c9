"""EleutherAI's evaluation harness, lm-eval, on parent and child alike, so that numbers compare with papers'.

Tasks are its own, which fetch their data from the hub, or those of a person's own: YAML files beside JSON lines.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from tessera.common import files
from tessera.common.intervals import plus_minus

Engine = Literal["transformers", "vllm"]
INSTALL = 'pip install "tessera[lm-eval]"'
HEADING = "## lm-eval"
#: Results that are of a model's speed or place, not of its answers.
ABOUT = ("alias", "name", "sample_len", "sample_count")


@dataclass(frozen=True)
class Asked:
    """What is asked of both models, in the harness's words."""

    tasks: tuple[str, ...]
    include: Path | None = None
    """Directory of one's own tasks."""
    few_shot: int | None = None
    limit: int | None = None
    batch: int = 1
    chat: bool = False
    """Whether items are messages of a conversation, by the tokenizer's chat template."""
    seed: int = 0


def version() -> str:
    """The harness's name and version. Raises ValueError, saying how to install it, if it is not there."""
    try:
        return f"lm-eval {metadata.version('lm-eval')}"
    except metadata.PackageNotFoundError:
        raise ValueError(f"lm-eval is not installed; expected it by {INSTALL}") from None


def results(directory: Path, asked: Asked, engine: Engine, device: str, dtype: str) -> dict[str, dict[str, Any]]:
    """A model's results by task and metric: {task: {metric: {value, se}, version, items}}.

    se is the harness's standard error, None where it has none. Raises ValueError, naming them, for tasks that are
    unknown.
    """
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=None if asked.include is None else str(asked.include))
    every = {*manager.all_tasks, *manager.all_groups, *manager.all_tags}
    if unknown := [task for task in asked.tasks if task not in every]:
        raise ValueError(f"--tasks {','.join(unknown)}: no such task of {version()}; expected such as hellaswag")
    found = simple_evaluate(
        model=_model(directory, asked, engine, device, dtype),
        tasks=list(asked.tasks),
        num_fewshot=asked.few_shot,
        limit=asked.limit,
        apply_chat_template=asked.chat,
        task_manager=manager,
        log_samples=False,
        random_seed=asked.seed,
        numpy_random_seed=asked.seed,
        torch_random_seed=asked.seed,
        fewshot_random_seed=asked.seed,
    )
    assert found is not None
    return {
        task: _metrics(values)
        | {"version": found["versions"].get(task), "items": found["n-samples"].get(task, {}).get("effective")}
        for task, values in found["results"].items()
    }


def _model(directory: Path, asked: Asked, engine: Engine, device: str, dtype: str) -> Any:
    if engine == "vllm":
        from lm_eval.models.vllm_causallms import VLLM

        return VLLM(pretrained=str(directory), dtype=dtype, batch_size=asked.batch, seed=asked.seed)
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    from tessera.puzzle.models import loading

    network: Any = loading.load(directory, device, getattr(torch, dtype)).network
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    return HFLM(pretrained=network, tokenizer=tokenizer, batch_size=asked.batch, device=device)


def _metrics(values: Mapping[str, Any]) -> dict[str, Any]:
    """The harness's `acc,none` and `acc_stderr,none` as {acc: {value, se}}."""
    metrics: dict[str, Any] = {}
    for key, value in values.items():
        name, _, filtered = key.partition(",")
        if name in ABOUT or name.endswith("_stderr") or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        error = values.get(f"{name}_stderr,{filtered}")
        label = name if filtered in ("", "none") else f"{name} ({filtered})"
        metrics[label] = {"value": value, "se": error if isinstance(error, int | float) else None}
    return metrics


def rows(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Any, dict[str, Any], dict[str, Any]]]:
    """Task, metric, items, and what parent and child have of it."""
    parent, child = found["parent"], found["child"]
    return [
        (task, metric, parent[task]["items"], parent[task][metric], child[task][metric])
        for task in parent
        for metric in parent[task]
        if metric not in ("version", "items")
    ]


def section(found: Mapping[str, Mapping[str, Any]], about: str) -> str:
    """The results as a section of a model card."""
    lines = [HEADING, "", f"{about}; ± is the harness's standard error.", ""]
    lines += ["| task | metric | items | parent | child |", "|---|---|--:|--:|--:|"]
    for task, metric, items, *values in rows(found):
        cells = (plus_minus(one["value"], one["se"]) for one in values)
        lines.append(f"| {task} | {metric} | {items or ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def add_to_card(card: Path, text: str) -> None:
    """Put a section into a card, in place of an earlier one of its heading."""
    before, found, rest = card.read_text(encoding="utf-8").partition(f"\n{HEADING}\n")
    after = rest.partition("\n## ")
    following = f"\n## {after[2]}" if found and after[1] else ""
    files.write_text(card, f"{before.rstrip()}\n\n{text.strip()}\n{following}")
