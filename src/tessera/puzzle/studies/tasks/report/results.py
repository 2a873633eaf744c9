"""What the study of task items found: its files read once, and the numbers that tables, figure and runs show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, randomness
from tessera.common.files import Json
from tessera.puzzle.scores.retention import METRICS, Answers, Bootstrap, Selection, right_answers, selections
from tessera.puzzle.studies.tasks.params import TasksParams

PARENT, FULL, KEPT = "parent", "full", "mip"
METHOD_NAMES = {
    KEPT: "MIP",
    "greedy": "greedy",
    "max_params": "max-params",
    "homogeneous": "homogeneous",
    "random": "random",
    FULL: "MIP, healed in full",
}


@dataclass(frozen=True)
class Results:
    """Items, every model's right answers, and what the children do beside."""

    items: pd.DataFrame
    selection: dict[str, Selection]
    answers: Answers
    """Of the reported items of the sets that count."""
    every: Answers
    """Of the reported items of all sets."""
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
        return [name for name in self.models if name != PARENT]

    @property
    def groups(self) -> list[str]:
        """Of which a set counts."""
        return list(dict.fromkeys(self.answers.groups))


def split(model: str) -> tuple[str, str]:
    """Target and method of a child's name, TARGET-METHOD."""
    target, _, method = model.rpartition("-")
    return target, method


def model_name(model: str) -> str:
    """In words."""
    if model == PARENT:
        return PARENT
    target, method = split(model)
    return f"{target} {METHOD_NAMES[method]}"


def read(
    items: Path,
    answers: Sequence[Path],
    evaluation: Sequence[Path],
    samples: Path,
    latency: Path,
    speed: Path,
    margin: float,
) -> Results:
    """Read all files; answers are one a model, named by it, the parent's first.

    Raises ValueError as `answered` does.
    """
    return Results(
        *answered(items, answers, margin),
        [files.read_json(path) for path in evaluation],
        files.read_json(samples),
        files.read_json(latency),
        files.read_json(speed),
    )


def answered(
    items: Path, answers: Sequence[Path], margin: float
) -> tuple[pd.DataFrame, dict[str, Selection], Answers, Answers]:
    """Items, what the parent's answers to the half that chooses say of each set, and answers to the reported half.

    The first answers are of the sets that count, the second of all. Raises ValueError where a model did not answer a
    reported item.
    """
    table = files.read_parquet(items).set_index(["set", "index"])
    right = {path.stem: right_answers(table, files.read_parquet(path)) for path in answers}
    asked = table.index.get_level_values("index").to_numpy() % 2 == 1
    names = table.index.get_level_values("set").to_numpy()
    chance = table["chance"].to_numpy()
    selection = selections(table, right[PARENT], margin)
    metric = np.array([METRICS.index(selection[name].metric) for name in names])
    counts = np.array([selection[name].kept for name in names])
    chosen = {model: np.stack([found[m] for m in METRICS])[metric, range(len(names))] for model, found in right.items()}
    for model, values in chosen.items():
        if np.isnan(values[asked]).any():
            missing = table.index[asked & np.isnan(values)][0]
            raise ValueError(f"{model}: has no answer to item {missing[1]} of {missing[0]}; delete it and run again")

    def those(where: np.ndarray) -> Answers:
        return Answers(
            names[where],
            table["group"].to_numpy()[where],
            chance[where],
            {model: values[where] for model, values in chosen.items()},
        )

    return table, selection, those(asked & counts), those(asked)


def metrics(found: Results, params: TasksParams, seed: int) -> Json:
    """Accuracies, retention and its differences, perplexity ratios and latency, with 95 % intervals over items."""

    def draws(answers: Answers) -> Bootstrap:
        return Bootstrap(answers, params.bootstrap, randomness.generator(seed, "puzzle", "tasks", "bootstrap"))

    kept, every = draws(found.answers), draws(found.every)
    everything = np.ones(len(found.answers.sets), bool)
    models: Json = {}
    for model in found.models:
        sets = {name: every.accuracy(model, found.every.sets == name) for name in found.selection}
        groups: Json = {}
        for group in found.groups:
            own = found.answers.groups == group
            groups[group] = {"accuracy": kept.accuracy(model, own)}
            if model != PARENT:
                groups[group]["retention"] = kept.interval(kept.retention(model, PARENT, own))
        models[model] = {"sets": sets, "groups": groups, "accuracy": kept.accuracy(model, everything)}
        if model != PARENT:
            models[model]["overall"] = kept.interval(kept.overall(model, PARENT))
    differences: Json = {}
    for child in found.children:
        target, method = split(child)
        best = f"{target}-{KEPT}"
        if method not in (KEPT, FULL) and best in found.children:
            difference = kept.overall(best, PARENT) - kept.overall(child, PARENT)
            differences.setdefault(target, {})[method] = kept.interval(difference)
    return {
        "models": models,
        "differences": differences,
        "selection": {
            name: {
                "metric": one.metric,
                "kept": one.kept,
                "accuracy": one.accuracy,
                "chance": one.chance,
                "reported": int((found.every.sets == name).sum()),
            }
            for name, one in found.selection.items()
        },
        "perplexity": perplexities(found),
        "latency": found.latency["models"],
    }


def perplexities(found: Results) -> Json:
    """Perplexity of children over that of the parent, by model and domain; the parent's own under its name."""
    made: Json = {}
    for row in found.evaluation:
        states = {"equal": f"{row['target']}-{row['method']}", "full": f"{row['target']}-{FULL}"}
        for state, model in states.items():
            if model in found.children and state in row["states"]:
                domains = row["states"][state]
                made[model] = {name: one["perplexity"] / one["parent_perplexity"] for name, one in domains.items()}
                made[PARENT] = {name: one["parent_perplexity"] for name, one in domains.items()}
    return made
