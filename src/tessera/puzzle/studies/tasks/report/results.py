"""The files of the study of task items, read once, and the numbers that its tables, figure and runs show."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tessera.common import files, randomness
from tessera.common.files import Json
from tessera.puzzle.models.space import PARENT
from tessera.puzzle.scores import task_items
from tessera.puzzle.scores.retention import Answers, Bootstrap, Selection
from tessera.puzzle.studies.tasks.params import TasksParams

FULL = "full"
METHOD_NAMES = {
    "quadratic": "with interactions",
    "mip": "MIP",
    "greedy": "greedy",
    "max_params": "max-params",
    "homogeneous": "homogeneous",
    "random": "random",
    FULL: "kept, healed in full",
}


@dataclass(frozen=True, eq=False)
class Results:
    """Every model's right answers, and further measurements of the children."""

    params: TasksParams
    seed: int
    selection: dict[str, Selection]
    answers: Answers
    """To the reported items of the sets that count."""
    every: Answers
    """To the reported items of all sets."""
    evaluation: list[Json]
    """Of the main chain: perplexity by domain."""
    samples: list[Json]
    latency: Json
    speed: Json
    """Of the main chain: peak memory."""

    @property
    def models(self) -> list[str]:
        """The parent, then each target's children."""
        return list(self.answers.right)

    @property
    def children(self) -> list[str]:
        """All models but the parent."""
        return [name for name in self.models if name != PARENT]

    @property
    def groups(self) -> list[str]:
        """Groups with a set that counts."""
        return list(dict.fromkeys(self.answers.groups))


def split(model: str) -> tuple[str, str]:
    """Return target and method of a child's name, TARGET-METHOD."""
    target, _, method = model.rpartition("-")
    return target, method


def model_name(model: str) -> str:
    """Return a model's name in words."""
    if model == PARENT:
        return PARENT
    target, method = split(model)
    return f"{target} {METHOD_NAMES[method]}"


def read(
    params: TasksParams,
    seed: int,
    table: Path,
    answers: Sequence[Path],
    evaluation: Sequence[Path],
    samples: Path,
    latency: Path,
    speed: Path,
) -> Results:
    """Read all files; answers are one file per model, named after it, the parent's first.

    Raises ValueError as task_items.read does.
    """
    answered = task_items.read(table, answers, params.margin)
    return Results(
        params,
        seed,
        answered.selection,
        answered.counted,
        answered.every,
        [files.read_json(path) for path in evaluation],
        files.read_json(samples),
        files.read_json(latency),
        files.read_json(speed),
    )


@cache
def numbers(results: Results) -> Json:
    """Return accuracies, retention, its differences, perplexity ratios and latency; 95 % intervals are over items."""

    def draws(answers: Answers) -> Bootstrap:
        generator = randomness.generator(results.seed, "puzzle", "tasks", "bootstrap")
        return Bootstrap(answers, results.params.bootstrap, generator)

    kept, every = draws(results.answers), draws(results.every)
    return {
        "models": {model: _accuracy(results, kept, every, model) for model in results.models},
        "differences": _differences(results, kept),
        "selection": {
            name: {
                "metric": selection.metric,
                "kept": selection.kept,
                "accuracy": selection.accuracy,
                "chance": selection.chance,
                "reported": int((results.every.sets == name).sum()),
            }
            for name, selection in results.selection.items()
        },
        "perplexity": perplexities(results),
        "latency": results.latency["models"],
    }


def _accuracy(results: Results, kept: Bootstrap, every: Bootstrap, model: str) -> Json:
    """Accuracy of a model by set, by group and overall, and a child's retention by group and of their mean."""
    groups: Json = {}
    for group in results.groups:
        of_group = results.answers.groups == group
        groups[group] = {"accuracy": kept.accuracy(model, of_group)}
        if model != PARENT:
            groups[group]["retention"] = kept.interval(kept.retention(model, PARENT, of_group))
    accuracy = {
        "sets": {name: every.accuracy(model, results.every.sets == name) for name in results.selection},
        "groups": groups,
        "accuracy": kept.accuracy(model, np.ones(len(results.answers.sets), bool)),
    }
    return accuracy if model == PARENT else accuracy | {"overall": kept.interval(kept.overall(model, PARENT))}


def _differences(results: Results, kept: Bootstrap) -> Json:
    """By target and method: retention of the kept method's child less that of the method's, after equal healing."""
    differences: Json = {}
    kept_method = results.speed["method"]
    for child in results.children:
        target, method = split(child)
        best = f"{target}-{kept_method}"
        if method not in (kept_method, FULL) and best in results.children:
            difference = kept.overall(best, PARENT) - kept.overall(child, PARENT)
            differences.setdefault(target, {})[method] = kept.interval(difference)
    return differences


def perplexities(results: Results) -> Json:
    """Return children's perplexity over the parent's, by model and domain; the parent's own under its name."""
    by_model: Json = {}
    for row in results.evaluation:
        states = {"equal": f"{row['target']}-{row['method']}", "full": f"{row['target']}-{FULL}"}
        for state, model in states.items():
            if model in results.children and state in row["states"]:
                domains = row["states"][state]
                by_model[model] = {
                    name: domain["perplexity"] / domain["parent_perplexity"] for name, domain in domains.items()
                }
                by_model[PARENT] = {name: domain["parent_perplexity"] for name, domain in domains.items()}
    return by_model
